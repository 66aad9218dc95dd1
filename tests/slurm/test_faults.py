"""`study submit` beside a scheduler that lies, is silent or forgets: none twice, none lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy import runs, states, study, submit

from study.files import write_json
from study.launch import snapshot
from study.launch.slurm.queue import LOST_SECONDS

PAGE = 4096  # in which a tmpfs counts

GRID = """
task: toy
recipe: {epochs: 1}
product: {mechanism: ["1111", "0010"]}
seeds: [0, 1]
"""


@pytest.fixture
def slurm(fake_slurm, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    return fake_slurm


def grow_old(seconds):
    """Let all that has happened have happened so long ago."""
    for folder in runs():
        attempt = folder.newest
        for name, record in (("submission", attempt.submission), ("start", attempt.start)):
            if record:
                aged = {**record, "time": record["time"] - seconds}
                write_json(attempt.path / f"{name}.json", aged)


def test_a_job_whose_answer_was_lost_is_found_by_its_name_and_adopted(slurm, toy):
    slurm.fail_sbatch("lost")
    out = submit(toy(GRID))
    assert "looking whether it has the job nevertheless" in out
    (job,) = slurm.jobs
    assert f"job {job['id']}: 4 runs" in out
    assert states() == ["queued"] * 4
    for index in range(4):
        slurm.run_task(job["id"], index)
    assert states() == ["completed"] * 4
    assert all(folder.provenance["environment"]["SLURM_JOB_ID"] for folder in runs())


def test_a_job_that_was_not_heard_of_is_submitted_again_once(slurm, toy):
    slurm.fail_sbatch("unheard", "unheard")
    submit(toy(GRID))
    assert len(slurm.jobs) == 1
    assert states() == ["queued"] * 4


def test_an_odd_answer_does_not_hide_the_job(slurm, toy):
    slurm.fail_sbatch("Submitted, thank you")
    assert "4 runs" in submit(toy(GRID))
    assert len(slurm.jobs) == 1


def test_while_nobody_answers_runs_stay_claimed_and_are_neither_lost_nor_doubled(slurm, toy):
    grid = toy(GRID)
    submit(grid, "-o", "max_parallel=1")
    slurm.set_fault("unreachable", ["squeue", "sacct", "sbatch", "sinfo", "scontrol"])
    grow_old(LOST_SECONDS + 1)
    assert states() == ["queued"] * 4
    done = study("status", grid)
    assert "nable to contact slurm controller" in done.stderr
    assert "nothing to submit" in submit(grid, code=3)
    slurm.set_fault("unreachable", None)
    assert states() == ["queued"] * 4
    assert len(slurm.jobs) == 1


def test_what_nobody_knows_any_more_is_lost_after_a_time_and_queued_again(slurm, toy):
    grid = toy(GRID)
    submit(grid)
    slurm.forget(slurm.jobs[0]["id"])
    assert states() == ["queued"] * 4
    assert "nothing to submit" in submit(grid)
    grow_old(LOST_SECONDS + 1)
    assert states() == ["lost"] * 4
    assert "4 runs" in submit(grid)
    assert states() == ["queued"] * 4
    assert {folder.attempts[0].ending["cause"] for folder in runs()} == {"lost"}


def test_a_job_that_comes_back_from_the_dead_finds_its_place_taken(slurm, toy):
    grid = toy(GRID)
    submit(grid)
    (dead,) = slurm.jobs
    slurm.set_fault("unreachable", None)
    slurm.forget(dead["id"])
    grow_old(LOST_SECONDS + 1)
    submit(grid)
    (alive,) = slurm.jobs
    late = Path(os.environ["STUDY_RUNS"]) / ".slurm" / dead["name"]
    environment = os.environ | {
        "SLURM_JOB_ID": "9",
        "SLURM_ARRAY_JOB_ID": "9",
        "SLURM_ARRAY_TASK_ID": "0",
    }
    study_task(late, environment)
    assert [len(folder.attempts) for folder in runs()] == [2] * 4
    assert not any((f.path / "attempts/2/start.json").exists() for f in runs())
    for index in range(4):
        slurm.run_task(alive["id"], index)
    assert states() == ["completed"] * 4


def study_task(batch, environment):
    code = json.loads((batch / "batch.json").read_text())["code"]
    environment = environment | {"PYTHONPATH": f"{code}:{environment['PYTHONPATH']}"}
    command = [sys.executable, "-P", "-m", "study.launch.slurm.task", str(batch)]
    return subprocess.run(command, env=environment, check=True, timeout=60)


def test_an_id_that_was_given_again_is_not_mistaken_for_ours(slurm, toy):
    grid = toy(GRID)
    submit(grid)
    (job,) = slurm.jobs
    slurm.forget(job["id"])
    slurm.next_id(job["id"])
    subprocess.run(["sbatch", "--array=0-3", "--job-name=other", "--wrap=true"], check=True)
    grow_old(LOST_SECONDS + 1)
    assert states() == ["lost"] * 4


def test_states_that_we_never_heard_of_count_as_running(slurm, toy):
    submit(toy(GRID))
    (job,) = slurm.jobs
    for index, name in enumerate(("STAGE_OUT", "RESV_DEL_HOLD", "TOMORROWS", "SIGNALING")):
        slurm.set_state(job["id"], index, name)
    assert states() == ["queued", "running", "running", "running"]


@pytest.mark.parametrize("how", ["remove", "no_accounting"])
def test_without_accounting_the_controllers_memory_and_our_records_suffice(slurm, toy, how):
    if how == "remove":
        slurm.remove("sacct")
    else:
        slurm.set_fault(how, True)
    grid = toy(GRID)
    submit(grid)
    (job,) = slurm.jobs
    slurm.run_task(job["id"], 0)
    slurm.finish(job["id"], 1, "TIMEOUT")
    slurm.finish(job["id"], 2, "NODE_FAIL")
    assert states() == ["completed", "killed", "queued", "timeout"]
    slurm.purge(job["id"])
    grow_old(LOST_SECONDS + 1)
    assert states() == ["completed", "lost", "lost", "lost"]


def test_accounting_that_is_behind_makes_nobody_lost_too_soon(slurm, toy):
    slurm.set_fault("sacct_lag", 3600)
    submit(toy(GRID))
    slurm.purge(slurm.jobs[0]["id"])
    assert states() == ["queued"] * 4


def test_a_full_queue_takes_what_fits(slurm, toy):
    slurm.set_fault("max_submit", 3)
    grid = toy(GRID)
    assert "1 runs are left" in submit(grid, code=3)
    assert states() == ["planned", "queued", "queued", "queued"]
    slurm.set_fault("max_submit", None)
    submit(grid)
    assert states() == ["queued"] * 4


def test_a_submitter_that_dies_after_the_call_loses_nothing(slurm, toy):
    """The job's id was never written down; the next look finds the job by its name."""
    grid = toy(GRID)
    submit(grid)
    for record in Path(os.environ["STUDY_RUNS"]).glob(".slurm/*/job.json"):
        record.unlink()
    assert states() == ["queued"] * 4
    assert "nothing to submit" in submit(grid)
    slurm.run_task(slurm.jobs[0]["id"], 0)
    assert states() == ["completed", "queued", "queued", "queued"]


def test_a_submitter_that_dies_before_the_call_loses_nothing_either(slurm, toy):
    grid = toy(GRID)
    dying = (
        "import os, sys; from study.cli import app; from study.launch.slurm import submit\n"
        "submit.Submission._sbatch = lambda *arguments: os._exit(9)\n"
        "app(['submit', sys.argv[1]])"
    )
    assert subprocess.run([sys.executable, "-c", dying, grid], check=False).returncode == 9
    assert not slurm.jobs
    assert states() == ["queued"] * 4
    grow_old(LOST_SECONDS + 1)
    assert states() == ["lost"] * 4
    assert "4 runs" in submit(grid)
    assert states() == ["queued"] * 4


def test_a_second_job_of_the_same_name_leaves_the_first_at_work(slurm, toy):
    """As when a call of sbatch that had failed was heard after all, late."""
    submit(toy(GRID))
    (job,) = slurm.jobs
    first = runs()[0].newest
    assert first.begin(f"{job['id']}_0")
    late = Path(os.environ["STUDY_RUNS"]) / ".slurm" / job["name"]
    environment = os.environ | {
        "SLURM_JOB_ID": "9",
        "SLURM_ARRAY_JOB_ID": "9",
        "SLURM_ARRAY_TASK_ID": str(first.submission["index"]),
    }
    study_task(late, environment)
    assert [attempt.exit for attempt in runs()[0].attempts] == [None]


def test_what_may_wait_in_a_queue_that_nobody_can_see_is_not_submitted_again(slurm, toy):
    grid = toy(GRID)
    submit(grid)
    for folder in runs():
        folder.newest.begin("1_0")
        folder.newest.end("preempted", 143, 0.0, "")
    slurm.set_fault("unreachable", ["squeue"])
    assert "nothing to submit" in submit(grid, code=3)
    assert len(slurm.jobs) == 1


def test_a_refusal_after_an_unclear_call_does_not_give_the_runs_away(slurm, toy):
    slurm.fail_sbatch("lost")
    slurm.set_fault("max_submit", 4)  # the lost call fills the queue, the second is refused
    slurm.set_fault("unreachable", ["squeue"])
    out = submit(toy(GRID), code=3)
    assert "did not say whether it has them" in out
    slurm.set_fault("unreachable", None)
    assert states() == ["queued"] * 4
    for index in range(4):
        slurm.run_task(slurm.jobs[0]["id"], index)
    assert states() == ["completed"] * 4


def test_a_damaged_copy_of_the_code_is_made_anew_and_never_replaced_by_another(slurm, toy):
    grid = toy(GRID)
    submit(grid)
    (copy,) = (Path(os.environ["STUDY_RUNS"]) / ".slurm" / "code").iterdir()
    shutil.rmtree(copy / "study" / "launch")
    assert slurm.run_task(slurm.jobs[0]["id"], 0).returncode != 0
    assert not runs()[0].newest.start
    study("cancel", grid)
    assert study("retry", grid).returncode == 0
    slurm.run_task(slurm.jobs[1]["id"], 0)
    assert "completed" in states()


def test_a_refusal_for_another_reason_than_a_full_queue_is_an_error(slurm, toy, tmp_path):
    program = slurm.bin / "sbatch"
    program.write_text(
        "#!/bin/sh\necho 'sbatch: error: QOSMaxWallDurationPerJobLimit' >&2\n"
        "echo 'Job violates accounting/QOS policy (job submit limit, size)' >&2\nexit 1\n"
    )
    done = study("submit", toy(GRID))
    assert done.returncode == 2
    assert "QOSMaxWallDurationPerJobLimit" in done.stderr


def test_a_mistake_is_one_sentence(slurm, toy, monkeypatch):
    grid = toy(GRID)
    for arguments, message in (
        (["--cluster", "nowhere"], "with a profile 'nowhere'"),
        (["--cluster", "local", "--dry-run"], "--cluster local takes --slots and --runs"),
        (["--pack", "2", "-o", "tasks=2"], "--pack 2 is for runs of one process each"),
        (["-o", "sbatch.array=3"], "--option: sbatch.array: set by the launcher"),
    ):
        done = study("submit", grid, *arguments)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    monkeypatch.setenv("PATH", "/nowhere")
    done = study("submit", grid)
    assert (done.returncode, "Slurm is not installed here" in done.stderr) == (2, True), done.stderr
    assert runs() == []


def test_a_torn_record_is_one_broken_run_and_the_others_go_on(slurm, toy):
    grid = toy(GRID)
    submit(grid)
    (job,) = slurm.jobs
    victim = runs()[0]
    (victim.newest.path / "submission.json").write_text('{"launcher": "sl')
    (victim.path / ".result.json.0123.tmp").write_text("{")
    assert states() == ["broken", "queued", "queued", "queued"]
    for index in range(4):
        slurm.run_task(job["id"], index)
    assert states().count("completed") == 3
    again = submit(grid, code=1)
    assert "nothing to submit" in again
    assert f"broken {victim.path.name}: a file in its folder is torn" in again


def test_a_torn_configuration_is_one_broken_run_and_the_others_are_queued(slurm, toy):
    grid = toy(GRID)
    submit(grid, "--mechanism", "1111", "--seed", "0")
    slurm.run_task(slurm.jobs[0]["id"], 0)
    (victim,) = runs()
    (victim.path / "run.json").write_text('{"schema": 1, "id"')
    assert "--array=0-2" in submit(grid, "--dry-run")
    told = submit(grid, code=1)
    assert "3 runs" in told
    assert f"broken {victim.path.name}: a file in its folder is torn" in told
    assert states() == ["broken", "queued", "queued", "queued"]


def test_more_processes_than_share_a_batch_are_refused_before_anything_is_queued(
    slurm, toy, tmp_path
):
    task = tmp_path / "site" / "toytask" / "task.py"
    share = (
        "    def share(self, processes):\n"
        "        if processes > self.epochs: raise ValueError(f'{processes} are too many')\n\n"
    )
    last = "    megabytes: int = 0\n"
    task.write_text(task.read_text().replace(last, f"{last}\n{share}"))
    grid = toy(GRID)
    for options in ([], ["--dry-run"], ["--smoke", "-o", "tasks=3"]):
        done = study("submit", grid, "-o", "nodes=1", "-o", "tasks=2", *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert " are too many; a run has " in done.stderr
    assert not slurm.jobs
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "smoke").exists()
    assert "4 runs" in submit(grid)
    for index in range(4):
        slurm.finish(slurm.jobs[0]["id"], index, "FAILED", "1:0")
    done = study("retry", grid, "-o", "tasks=2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "grid: 2 are too many; a run has 2 by the profile 'slurm'" in done.stderr
    assert len(slurm.jobs) == 1


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A file system for the run folders, which a test can make as large as it wants."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    monkeypatch.setenv("STUDY_RUNS", str(folder / "runs"))

    def change(options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    yield folder, change
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_leaves_nothing_half_claimed(slurm, toy, small_disk, tmp_path, monkeypatch):
    folder, change = small_disk
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    grid = toy(GRID.replace("[0, 1]", str([*range(40)])))
    ballast = folder / "ballast"

    def leave(free):
        ballast.unlink(missing_ok=True)
        ballast.write_bytes(bytes(shutil.disk_usage(folder).free - free))

    leave(0)
    done = study("submit", grid)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    copy = snapshot.take(tmp_path / "code", ["toytask"])
    code = sum(-(-path.stat().st_size // PAGE) for path in copy.rglob("*") if path.is_file())
    leave((code + 80 + 40) * PAGE)  # room for the code, for all folders, and for half the claims
    done = study("submit", grid)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert not slurm.jobs
    assert states() == ["planned"] * 80
    ballast.unlink()
    change("size=40m")
    assert "80 runs" in submit(grid)
    assert states() == ["queued"] * 80


def test_a_folder_that_cannot_be_written_is_one_sentence(slurm, toy, small_disk):
    _, change = small_disk
    grid = toy(GRID)
    change("ro")
    done = study("submit", grid)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Read-only file system" in done.stderr
    assert not slurm.jobs


def test_variables_for_sbatch_in_the_callers_shell_are_named_and_not_obeyed(
    slurm, toy, monkeypatch
):
    monkeypatch.setenv("SBATCH_PARTITION", "nowhere")
    monkeypatch.setenv("SLURM_CLUSTERS", "other")
    for options in (["--dry-run"], []):
        done = study("submit", toy(GRID), *options)
        assert done.returncode == 0, done.stderr
        assert done.stderr == (
            "note: not obeyed: SBATCH_PARTITION, SLURM_CLUSTERS; what jobs ask for is in the"
            " profile, or in -o KEY=VALUE\n"
        )
    (job,) = slurm.jobs
    assert job["partition"] == "normal"
    assert "SBATCH_PARTITION" not in job["environment"]


def test_a_script_is_printed_letter_by_letter_and_runs_name_the_copy_they_execute(slurm, toy):
    text = submit(toy(GRID), "--dry-run", "-o", "gpus=a:1", "-o", "sbatch.comment=[red]:a:")
    assert "#SBATCH --gpus-per-node=a:1\n" in text
    assert "#SBATCH --comment='[red]:a:'\n" in text
    submit(toy(GRID), "--pack", "4")
    slurm.run_task(slurm.jobs[0]["id"], 0)
    (copy,) = (Path(os.environ["STUDY_RUNS"]) / ".slurm/code").iterdir()
    assert {folder.provenance["snapshot"] for folder in runs()} == {copy.name}
