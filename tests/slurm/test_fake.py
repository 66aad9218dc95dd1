"""The fake Slurm answers as the real one does; and its faults do what they are called."""

from __future__ import annotations

import re
import subprocess
import time
from types import SimpleNamespace

import pytest

SQUEUE = ("squeue", "--noheader", "--format=%i|%j|%T|%r|%F|%K|%A|%V|%S|%N|%u|%P|%e")
SACCT = ("sacct", "-nXP", "-o", "JobID,JobIDRaw,JobName,State,ExitCode,Submit,Start,End,NodeList")
FIELDS = r"(?:JobId|Array\w*Id|JobName|JobState|Reason|Requeue|Restarts|ExitCode|Partition)=\S+"


def ask(*command):
    """Run a command of the fake."""
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def both(cluster, fake_slurm, tmp_path, monkeypatch):
    """A function that gives a command to both, and demands the same answer but for the times."""
    monkeypatch.chdir(tmp_path)
    cluster.clear()
    probe = cluster.run("sbatch", "--parsable", "--hold", "--wrap=true")
    cluster.run("scancel", probe)
    fake_slurm.next_id(int(probe) + 1)

    def plain(done, sort):
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "TIME", done.stdout)
        errors = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "TIME", done.stderr)
        lines = sorted(text.splitlines()) if sort else text.splitlines()
        return done.returncode, [line.rstrip() for line in lines], errors

    def same(*command, sort=True, seconds=0.0):
        fake = plain(ask(*command), sort)
        end = time.monotonic() + seconds
        while (real := plain(cluster.attempt(*command), sort)) != fake:
            if time.monotonic() >= end:
                break
            time.sleep(0.2)
        assert real == fake
        return fake

    return SimpleNamespace(same=same, cluster=cluster, fake=fake_slurm)


def submit(both, *options):
    _, lines, _ = both.same("sbatch", *options)
    return int(lines[0].split()[-1])


def queues_agree(both, job):
    both.same(*SQUEUE, f"--jobs={job}")
    both.same(*SQUEUE, "--array", f"--jobs={job}")
    both.same(*SACCT, "-j", job, seconds=20)
    real, fake = (
        [re.findall(FIELDS, line) for line in sorted(done.stdout.splitlines())]
        for done in (
            both.cluster.attempt("scontrol", "show", "job", "-o", job),
            ask("scontrol", "--oneliner", "show", "job", job),
        )
    )
    assert [{*line} - {"ArrayTaskThrottle=2"} for line in real] == [{*line} for line in fake]


def test_waiting_tasks_look_the_same(both):
    job = submit(both, "--hold", "--array=0-3%2", "--job-name=four", "--wrap=true")
    queues_agree(both, job)
    both.same(*SQUEUE, "-r", "--name=four,five", "--states=all")
    both.same(*SQUEUE, "-r", f"--jobs={job}_1,{job}_3,99999")
    both.same(*SACCT, "-j", f"{job}_1")  # nothing before it starts
    both.same("scancel", f"{job}_1")  # leaves no trace
    queues_agree(both, job)
    both.same("scontrol", "-o", "show", "job", f"{job}_1")
    both.same("scancel", job)
    # Its start is the time of its end, or None: Slurm is of two minds.
    both.same("sacct", "-nXP", "-j", job, "-o", "JobID,JobName,State,ExitCode,End", seconds=20)


def test_running_and_finished_tasks_look_the_same(both, tmp_path):
    script = tmp_path / "script.sh"
    script.write_text(
        "#!/bin/sh\n#SBATCH --job-name=pair --mem=100 --time=10\n#SBATCH --array=0-1\n"
        "#SBATCH --nodelist=gpu1\n#SBATCH --output=%A_%a\n"
        "srun --unbuffered sh -c 'while [ ! -e go ]; do sleep 0.1; done'\n"
        "exit $SLURM_ARRAY_TASK_ID\n"
    )
    job = submit(both, "--parsable", script)
    both.fake.start(job, 0)
    both.fake.start(job, 1)
    question = ("squeue", "-h", "-j", job, "-o%T")
    both.cluster.wait_until(lambda: both.cluster.run(*question).split() == ["RUNNING"] * 2)
    queues_agree(both, job)
    (tmp_path / "go").touch()
    both.fake.finish(job, 0, "COMPLETED")
    both.fake.finish(job, 1, "FAILED", "1:0")
    both.same(*SACCT, "-j", job, seconds=20)
    both.same(*SQUEUE, "--array", "--states=all", "--name=pair")
    both.same(*SQUEUE, "--name=pair")


def test_a_requeued_job_looks_the_same(both):
    job = submit(both, "--job-name=again", "--mem=100", "--nodelist=gpu1", "--wrap=srun sleep 60")
    both.fake.start(job)
    both.same(*SACCT, "-j", job, seconds=20)
    both.same("scontrol", "requeue", job)
    both.cluster.wait_until(lambda: both.cluster.job(str(job))["JobState"] == "PENDING", 30)
    both.same(*SACCT, "-D", "-j", job, seconds=20)
    both.same(*SACCT, "-j", job)
    assert "BeginTime" in both.cluster.run(*SQUEUE, f"--jobs={job}")
    both.same("squeue", "-h", "-j", job, "-o%T|%r|%N|%e")
    both.cluster.run("scancel", str(job))


@pytest.mark.parametrize(
    "command",
    [
        ("sbatch", "-p", "nope", "--wrap=true"),
        ("sbatch", "-A", "nope", "--wrap=true"),
        ("sbatch", "--array=0-101", "--wrap=true"),
        ("sbatch", "absent.sh"),
        ("sbatch", "--test-only", "-p", "nope", "--wrap=true"),
        ("sbatch", "--test-only", "--array=0-3", "--wrap=true"),
        ("squeue", "-h", "--jobs=99999"),
        ("squeue", "-h", "--jobs=99998,99999"),
        ("squeue", "-h", "--name=nobody", "-o%i"),
        ("squeue", "--name=nobody", "-o%i|%j|%T|%r|%F|%K|%A|%V|%S|%N|%u|%e"),
        ("sacct", "-nXP", "-j", "99999"),
        ("sacct", "-XP", "-j", "99999", "-o", "JobID,State"),
        ("sacct", "-nXP", "--array", "-j", "99999"),
        ("sacct", "-nXP", "-o", "JobID,Restarts"),
        ("scontrol", "show", "job", "-o", "99999"),
        ("scontrol", "requeue", "99999"),
        ("scancel", "99999"),
        ("scancel", "--name=nobody"),
        ("sinfo", "-h", "-o%P|%a|%l|%D|%T"),
    ],
    ids=" ".join,
)
def test_answers_to_odd_questions_are_the_same(both, command):
    both.same(*command, sort=False)


def test_the_submit_limit_is_refused_the_same(both):
    both.fake.set_fault("max_submit", 5)
    both.same("sbatch", "-A", "small", "--array=0-5", "--wrap=true")


def test_a_batch_script_is_executed(fake_slurm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "script.sh"
    script.write_text(
        "#!/bin/sh\n#SBATCH --array=0-1 --output=batch\n\n"
        "srun --unbuffered --output %A_%a_%t.log --cpus-per-task=1 "
        "sh -c 'echo $SLURM_RESTART_COUNT $SLURM_NTASKS; exit $SLURM_ARRAY_TASK_ID'\n"
    )
    assert ask("sbatch", script).stdout == "Submitted batch job 1\n"
    assert fake_slurm.run_task(1, 0).returncode == 0
    fake_slurm.start(1, 1)
    fake_slurm.requeue(1, 1)
    assert fake_slurm.run_task(1, 1).returncode == 1
    assert [(tmp_path / f"1_{i}_0.log").read_text() for i in (0, 1)] == ["1\n", "1 1\n"]
    states = ask("sacct", "-nXPD", "-j", 1, "-o", "JobID,State,ExitCode").stdout.split()
    assert states == ["1_1|PREEMPTED|0:0", "1_1|FAILED|1:0", "1_0|COMPLETED|0:0"]


def test_faults_of_submission(fake_slurm):
    fake_slurm.fail_sbatch("lost", "unheard", "note: {id} of you\n")
    for _ in range(2):
        done = ask("sbatch", "--job-name=x", "--wrap=true")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith("failed: Socket timed out on send/recv operation\n")
    assert [job["id"] for job in fake_slurm.jobs] == [1]
    assert ask("sbatch", "--wrap=true").stdout == "note: 2 of you\n\n"
    assert ask("sbatch", "--parsable", "--wrap=true").stdout == "3\n"


def test_faults_of_answering(fake_slurm):
    ask("sbatch", "--array=" + ",".join(map(str, range(0, 40, 2))), "--hold", "--wrap=true")
    assert ask("squeue", "-h", "-o%i").stdout == "1_[0,2,4,6,8,10,12,14,16,18,20,\n"[:31] + "\n"
    fake_slurm.set_fault("dots", "...]")
    assert ask("squeue", "-h", "-o%i").stdout.endswith("...]\n")
    fake_slurm.set_state(1, 0, "STAGE_OUT")
    assert "1_0 STAGE_OUT" in ask("squeue", "-h", "-o%i %T").stdout
    fake_slurm.set_fault("unreachable", ["squeue"])
    done = ask("squeue", "-h")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Unable to contact slurm controller (connect failure)" in done.stderr
    fake_slurm.set_fault("unreachable", None)
    fake_slurm.set_fault("hang", {"squeue": 0.5})
    start = time.monotonic()
    assert ask("squeue", "-h").returncode == 0
    assert time.monotonic() - start > 0.5
    assert ask("sacct", "-nXP", "-j", 1).stdout
    fake_slurm.set_fault("sacct_lag", 60)
    assert not ask("sacct", "-nXP", "-j", 1).stdout
    fake_slurm.set_fault("no_accounting", True)
    assert ask("sacct", "-nXP", "-j", 1).stderr == "Slurm accounting storage is disabled\n"


def test_an_id_may_be_given_again(fake_slurm):
    ask("sbatch", "--job-name=old", "--wrap=true")
    fake_slurm.finish(1, None, "COMPLETED")
    fake_slurm.purge(1)
    fake_slurm.next_id(1)
    ask("sbatch", "--job-name=new", "--wrap=true")
    assert ask("squeue", "-h", "-o%i %j").stdout == "1 new\n"
    known = ask("sacct", "-nXP", "-j", 1, "-o", "JobID,JobName,State").stdout.splitlines()
    assert known == ["1|old|COMPLETED", "1|new|PENDING"]
