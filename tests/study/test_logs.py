"""`study logs` and `study inspect`: the right file, followed to the end of the run."""

import json
import os
import subprocess
import sys
import threading
import time

from .conftest import study
from .made import TOKEN, ended, finished, line, planned, scheduler, submitted


class Followed:
    """``study logs -f`` in the background."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "study", "logs", "-f", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.shown, self.told = [], []
        self.readers = [
            threading.Thread(target=self._read, args=pair)
            for pair in ((self.process.stdout, self.shown), (self.process.stderr, self.told))
        ]
        for reader in self.readers:
            reader.start()

    def _read(self, stream, lines):
        lines.extend(iter(stream.readline, ""))

    def until(self, lines, text):
        deadline = time.monotonic() + 20
        while not any(text in each for each in [*lines]):
            assert time.monotonic() < deadline, (self.shown, self.told)
            time.sleep(0.05)

    def end(self):
        assert self.process.wait(20) == 0
        for reader in self.readers:
            reader.join()


def test_a_followed_log_grows_moves_to_the_next_attempt_and_ends_with_the_run(toy, tmp_path):
    folder = planned(tmp_path / "runs")
    first = folder.claim()
    first.submit("local", os.getpid())
    (first.path / "stderr").write_text("one\n")
    followed = Followed("--err", folder.path.name)
    followed.until(followed.shown, "one")
    with (first.path / "stderr").open("a") as file:
        file.write("two\n")
    followed.until(followed.shown, "two")
    first.end("preempted", 143, time.time(), "")
    second = folder.claim()
    second.submit("local", os.getpid())
    (second.path / "stderr").write_text("three\n")
    followed.until(followed.shown, "three")
    with (second.path / "stderr").open("a") as file:
        file.write("last words, without an end")
    second.end("failed", 1, time.time(), "")
    followed.end()
    assert "".join(followed.shown) == "one\ntwo\nthree\nlast words, without an end"
    assert any("attempts/2/stderr" in each for each in followed.told)
    assert "is failed" in followed.told[-1]


def test_a_job_that_waits_says_why_and_shows_its_own_log_before_the_workers(
    toy, tmp_path, monkeypatch
):
    folder = planned(tmp_path / "runs")
    attempt = submitted(folder, index=3)
    scheduler(tmp_path, monkeypatch, line(3, "PENDING", "Resources"))
    nothing = study("logs", folder.path.name)
    assert nothing.returncode == 2
    assert "the run is queued, Slurm says Resources" in nothing.stderr
    batch = tmp_path / "runs" / ".slurm" / TOKEN
    batch.mkdir(parents=True)
    (batch / "7_3_0_log.err").write_text("srun: error: Unable to create step\n")
    (batch / "7_1_0_log.err").write_text("another task\n")
    own = study("logs", "--err", folder.path.name)
    assert own.stdout == "srun: error: Unable to create step\n"
    assert "has not begun; this is the job's own log" in own.stderr
    followed = Followed("--err", folder.path.name)
    followed.until(followed.shown, "Unable to create step")
    attempt.begin("7_3")
    (attempt.path / "stderr").write_text("training\n")
    attempt.end("failed", 1, time.time(), "")
    followed.end()
    assert followed.shown == ["srun: error: Unable to create step\n", "training\n"]


def test_inspect_tells_job_node_cause_and_what_the_scheduler_says(toy, tmp_path, monkeypatch):
    folder = planned(tmp_path / "runs")
    ended(folder, "preempted")
    attempt = submitted(folder, index=2, job="7_2")
    attempt.end("failed", 1, time.time() - 60, "RuntimeError: DataLoader worker was killed")
    attempt.note("OUT_OF_MEMORY")
    scheduler(tmp_path, monkeypatch)
    facts = json.loads(study("inspect", folder.path.name, "--json").stdout)
    first, second = facts["attempts"]
    assert (first["launcher"], first["cause"]) == ("local", "preempted")
    assert second["job"] == "7_2"
    assert second["node"] == os.uname().nodename
    assert (second["cause"], second["scheduler"]) == ("oom host", "OUT_OF_MEMORY")
    assert 59 < second["seconds"] < 62
    assert facts["command"].split()[-3:-1] == [str(folder.path), "--device"]
    shown = study("inspect", folder.path.name).stdout
    assert "slurm job 7_2 on" in shown
    assert "oom host after 60 s, Slurm says OUT_OF_MEMORY: RuntimeError" in shown


def test_inspect_tells_what_matters_in_few_lines_and_how_to_train_it_once_more(toy, tmp_path):
    folder = finished(planned(tmp_path / "runs"), lines=30)
    provenance = json.loads((folder.path / "provenance.json").read_text())
    more = {"host": "h", "device": "cpu", "threads": 1, "python": "3", "packages": {"torch": "2"}}
    (folder.path / "provenance.json").write_text(json.dumps(provenance | more))
    shown = study("inspect", folder.path.name).stdout
    assert len(shown.splitlines()) <= 13
    assert "loss       ▁▁▁" in shown
    assert "score      ▁█ 0 -> 0.5" in shown
    assert "score 0.50 (untrained 0.00)" in shown
    assert "c0ffee with uncommitted changes" in shown
    (again,) = [line for line in shown.splitlines() if line.startswith("by hand")]
    digest = folder.run["hash"]
    assert f"study inspect {digest} --grid > {digest}.yaml && study run" in again
    grid = tmp_path / f"{digest}.yaml"
    grid.write_text(study("inspect", digest, "--grid").stdout)
    (asked,) = json.loads(study("plan", grid, "--no-cost", "--json").stdout)["runs"]
    assert asked["id"] == folder.path.name
    whole = study("inspect", folder.path.name, "--full").stdout
    assert whole.startswith(shown)
    assert "mechanism: '1111'" in whole
    assert "uncounted: {}" in whole
