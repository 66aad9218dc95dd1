"""A run that hangs is as alive for its scheduler as others; its last sign of life tells."""

import io
import json
import os
import time

import pytest

from study.files import append_jsonl, write_json
from study.screen import Screen
from study.status.progress import Progress
from study.status.signs import LEAST_SECONDS, PACE_FACTOR, ago, sign_of

from .conftest import study
from .made import line, planned, scheduler, submitted


def trained(folder, quiet, pauses):
    """Let it have written records with these pauses between them, the last so long ago."""
    times = [time.time() - quiet]
    for pause in reversed(pauses):
        times.insert(0, times[0] - pause)
    for name in ("submission.json", "start.json"):
        record = json.loads((folder.newest.path / name).read_text())
        write_json(folder.newest.path / name, record | {"time": times[0] - 1})
    path = folder.path / "metrics.jsonl"
    for step, at in enumerate(times):
        append_jsonl(path, {"split": "train", "step": step, "epoch": 1, "loss": 1.0, "time": at})
    os.utime(path, (times[-1], times[-1]))


@pytest.fixture
def running(toy, tmp_path, monkeypatch):
    folder = planned(tmp_path / "runs")
    submitted(folder, 0, job="7_0")
    scheduler(tmp_path, monkeypatch, line(0, "RUNNING", node="gpu1"))
    return folder


@pytest.mark.parametrize(
    ("quiet", "pauses", "overdue"),
    [
        (LEAST_SECONDS - 10, [1, 1], False),
        (LEAST_SECONDS + 10, [1, 1], True),
        (LEAST_SECONDS + 10, [1, 200], False),
        (PACE_FACTOR * 200 + 10, [1, 200], True),
        (10 * LEAST_SECONDS, [], False),
    ],
)
def test_silence_is_measured_by_the_pauses_of_the_run_itself(running, quiet, pauses, overdue):
    trained(running, quiet, pauses)
    sign = sign_of(running)
    assert sign.seconds == pytest.approx(quiet, abs=5)
    assert sign.overdue is overdue


def test_status_shows_the_last_sign_and_names_who_is_silent(running):
    trained(running, 720, [5, 20])
    told = f"{running.path.name}  last sign 12 min ago, before at most 20 s apart: does it hang?"
    shown = study("status")
    assert told in shown.stdout
    assert shown.returncode == 3
    (row,) = json.loads(study("status", "--json").stdout)
    assert row["quiet_seconds"] == pytest.approx(720, abs=10)
    assert row["overdue"] is True


def test_who_is_not_silent_is_named_when_asked_for(running):
    trained(running, 40, [5, 20])
    assert running.path.name not in study("status").stdout
    assert f"{running.path.name}  last sign 4" in study("status", "--state", "running").stdout
    (row,) = json.loads(study("status", "--json").stdout)
    assert row["overdue"] is False


def test_the_table_of_watch_shows_it(running):
    trained(running, 720, [5, 20])
    console = Screen(file=io.StringIO(), force_terminal=True, width=160, height=40)
    with Progress([running], console):
        pass
    assert "last sign" in console.file.getvalue()
    assert "12 min ago" in console.file.getvalue()


def test_a_duration_is_told_in_its_largest_unit():
    told = [ago(seconds) for seconds in (3, 119, 720, 3 * 3600, 5 * 86400)]
    assert told == ["3 s", "119 s", "12 min", "3 h", "5 days"]
