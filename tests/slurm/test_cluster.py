"""The test bed does what a cluster does to a job: the rest of the tests builds on that."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from configuration import GRACE_SECONDS, KILL_WAIT_SECONDS, MAX_ARRAY_SIZE, SMALL_ACCOUNT

HERE = Path(__file__).parent
RECORDER = HERE / "signal_recorder.py"


class Recording:
    """A job whose task notes its signals."""

    def __init__(self, cluster, folder, *options):
        self.cluster = cluster
        self.notes = folder / "notes"
        self.output = folder / "output"
        self.id = cluster.run(
            *("sbatch", "--parsable", "--mem=100", "--open-mode=append", f"--output={self.output}"),
            *options,
            f"--wrap=srun {sys.executable} -S {RECORDER} {self.notes}",
        )
        self.wait_for("start 0")

    def heard(self):
        """Return what was noted as pairs of seconds and word."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [(float(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in lines]

    def wait_for(self, word, seconds=30):
        self.cluster.wait_until(lambda: word in [said for _, said in self.heard()], seconds)

    def wait_for_state(self, state, seconds=30):
        self.cluster.wait_until(lambda: self.cluster.job(self.id)["JobState"] == state, seconds)


@pytest.fixture(scope="module", autouse=True)
def time_limit(cluster, tmp_path_factory):
    """Slurm looks at the clock every 30 s, so that this job is started first and looked at last."""
    folder = tmp_path_factory.mktemp("time-limit")
    return Recording(cluster, folder, "-w", "gpu4", "--time=1", "--signal=USR2@50")


def accounted(cluster, job, *options):
    """Return the states that accounting knows of a job, one an attempt with ``-D``."""
    return cluster.run("sacct", "-nXP", "-j", job, "-o", "State", *options).split("\n")


def test_an_array_comes_back(cluster, tmp_path):
    job = cluster.run(
        *("sbatch", "--parsable", "--array=0-5", "--job-name=six", "--mem=100", "--gres=gpu:1"),
        f"--output={tmp_path}/%a",
        "--wrap=srun printenv SLURM_ARRAY_TASK_ID CUDA_VISIBLE_DEVICES",
    )
    rows = [f"{job}_{i}|six|COMPLETED" for i in range(6)]
    question = ("sacct", "-nXP", "-j", job, "-o", "JobID,JobName,State")
    cluster.wait_until(lambda: sorted(cluster.run(*question).split("\n")) == rows)
    assert [(tmp_path / str(i)).read_text().split()[0] for i in range(6)] == list("012345")


def test_preemption_warns_waits_kills_and_requeues(cluster, tmp_path):
    job = Recording(cluster, tmp_path, "-w", "gpu1", "-c2", "--requeue")
    urgent = ("sbatch", "--parsable", "-p", "urgent", "-w", "gpu1", "-c2", "--mem=100")
    urgent = cluster.run(*urgent, "--wrap=true", cwd=tmp_path)
    job.wait_for_state("PENDING")
    heard = job.heard()
    terms = [seconds for seconds, word in heard if word == "SIGTERM"]
    assert {word for _, word in heard} == {"start 0", "SIGTERM", "SIGCONT"}
    assert terms[1] - terms[0] > GRACE_SECONDS - 1  # up to 6 s more, as the scheduler comes round
    cluster.wait_until(lambda: accounted(cluster, job.id, "-D") == ["PREEMPTED", "PENDING"])
    cluster.wait_until(lambda: accounted(cluster, urgent) == ["COMPLETED"])
    cluster.start_now(job.id)
    job.wait_for("start 1")
    cluster.run("scancel", job.id)


def test_a_failing_node_requeues(cluster, tmp_path):
    job = Recording(cluster, tmp_path, "-w", "gpu2", "--requeue")
    cluster.fail_node("gpu2")
    job.wait_for("SIGTERM")
    job.wait_for_state("PENDING")
    cluster.wait_until(lambda: accounted(cluster, job.id, "-D") == ["NODE_FAIL", "PENDING"])
    cluster.resume_node("gpu2")
    cluster.start_now(job.id)
    job.wait_for("start 1")
    cluster.run("scancel", job.id)


def test_cancelling_warns_then_kills(cluster, tmp_path):
    job = Recording(cluster, tmp_path)
    start = time.monotonic()
    cluster.run("scancel", job.id)
    job.wait_for("SIGTERM")
    job.wait_for_state("CANCELLED")
    assert time.monotonic() - start > KILL_WAIT_SECONDS - 2
    cluster.wait_until(lambda: accounted(cluster, job.id) == ["CANCELLED by 0"])


def test_a_killed_step_fails_its_job(cluster, tmp_path):
    job = Recording(cluster, tmp_path)
    cluster.kill_step(job.id)
    job.wait_for_state("FAILED")
    assert cluster.job(job.id)["ExitCode"] == "137:0"


def test_too_much_memory_kills(cluster, tmp_path):
    """Without cgroups the state is FAILED, never OUT_OF_MEMORY; the message is what tells."""
    eat = "import time; time.sleep(1); x = bytearray(300 << 20); time.sleep(60)"
    job = cluster.run(
        *("sbatch", "--parsable", "--mem=100", f"--output={tmp_path}/output"),
        f'--wrap=srun {sys.executable} -S -c "{eat}"',
    )
    cluster.wait_until(lambda: cluster.job(job)["JobState"] == "FAILED")
    assert "Exceeded job memory limit" in (tmp_path / "output").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["-A", SMALL_ACCOUNT, "--array=0-5"],
            "sbatch: error: AssocMaxSubmitJobLimit\n"
            "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy "
            "(job submit limit, user's size and/or time limits)\n",
        ),
        (
            [f"--array=0-{MAX_ARRAY_SIZE}"],
            "sbatch: error: Batch job submission failed: Invalid job array specification\n",
        ),
        (
            ["-p", "nope"],
            "sbatch: error: invalid partition specified: nope\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
        ),
    ],
    ids=["submit limit", "array size", "partition"],
)
def test_sbatch_refuses(cluster, options, message):
    refused = cluster.attempt("sbatch", *options, "--wrap=true")
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", message)


def test_jobs_outlive_the_controller(cluster, tmp_path):
    job = cluster.run("sbatch", "--parsable", "--mem=100", "--wrap=srun sleep 8", cwd=tmp_path)
    cluster.wait_until(lambda: accounted(cluster, job) == ["RUNNING"])
    cluster.stop_controller()
    refused = cluster.attempt("sbatch", "--wrap=true")
    assert "Unable to contact slurm controller (connect failure)" in refused.stderr
    assert accounted(cluster, job) == ["RUNNING"]
    cluster.start_controller()  # before the job ends, whose news would else be told 15 s later
    cluster.wait_until(lambda: accounted(cluster, job) == ["COMPLETED"])


def test_a_hanging_controller_takes_in_what_it_does_not_confirm(cluster):
    cluster.pause_controller()
    unclear = cluster.attempt("sbatch", "--begin=now+1hour", "--job-name=unclear", "--wrap=true")
    cluster.continue_controller()
    assert unclear.returncode == 1
    assert "Socket timed out on send/recv operation" in unclear.stderr
    job = cluster.wait_until(lambda: cluster.run("squeue", "-h", "--name=unclear", "-o%i"))
    cluster.run("scancel", job)


def test_sacct_is_refused_without_accounting(cluster):
    cluster.stop_accounting()
    refused = cluster.attempt("sacct", "-nXP")
    cluster.start_accounting()
    assert refused.returncode == 1
    assert "Problem talking to the database: Connection refused" in refused.stderr
    assert cluster.attempt("sacct", "-nXP").returncode == 0


def test_the_step_hears_of_its_time_limit(cluster, time_limit):
    time_limit.wait_for("SIGUSR2", 60)
    cluster.expire(time_limit.id)
    cluster.wait_until(lambda: accounted(cluster, time_limit.id) == ["TIMEOUT"], 60)


def test_nothing_outlives_the_owner_of_a_keeper(tmp_path):
    """Even after a kill -9, and even a process that left its parent."""
    folder = tmp_path / "folder"
    folder.mkdir()
    leave = f"(setsid sleep 1000 & echo $! > {tmp_path}/pid); exec sleep 1000"
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from pathlib import Path; from keeper import Keeper; import time\n"
        f"folder = Path({str(folder)!r}); keeper = Keeper(folder)\n"
        f"keeper.start('x', ['sh', '-c', {leave!r}], folder / 'log', {{}}); time.sleep(1000)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < end
        time.sleep(0.05)
    pid = int((tmp_path / "pid").read_text())
    assert psutil.pid_exists(pid)
    owner.kill()
    owner.wait()
    while folder.exists() or psutil.pid_exists(pid):
        assert time.monotonic() < end
        time.sleep(0.05)
