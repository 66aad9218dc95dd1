"""The time that a run still takes follows from what its present attempt has done, and when."""

import time
from pathlib import Path

import pytest

from plugins.contracts.tasks import find_task as find
from study.files import append_jsonl, read_json, write_json
from study.grid.reading import load
from study.status import pace
from study.status.pace import Paces, newest, share
from study.status.remaining import Remaining
from study.status.states import states_of

from .made import finished, planned, toy_task

WMT14 = Path(__file__).parents[2] / "grids" / "wmt14" / "self_attention.yaml"
AGO = 100.0  # seconds since the present attempt began


@pytest.fixture(autouse=True)
def _know_the_toy_task(monkeypatch):
    """It is installed for the commands of other tests only, not in this process."""
    monkeypatch.setattr(pace, "find_task", lambda name: toy_task() if name == "toy" else find(name))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run of ten epochs whose first attempt recorded six of them, an hour each, and ended."""
    folder = planned(tmp_path / "runs", epochs=10)
    first = begun(folder, 6 * 3600 + AGO)
    for epoch in range(1, 7):
        trained(folder, epoch, ago=AGO + 10 + (6 - epoch) * 3600)
    first.end("preempted", 143, 0.0, "")
    return folder


def begun(folder, ago):
    attempt = folder.claim()
    attempt.submit("local", 1)
    record = read_json(attempt.path / "submission.json")
    write_json(attempt.path / "submission.json", record | {"time": time.time() - ago})
    return attempt


def trained(folder, epoch, ago):
    record = {"split": "train", "step": epoch, "epoch": epoch, "loss": 1.0}
    append_jsonl(folder.path / "metrics.jsonl", record | {"time": time.time() - ago})


def left(folder, paces=None):
    record = newest(folder, "train")
    return (paces or Paces()).seconds_left(folder, folder.run["science"], record)


def test_where_updates_rule_they_are_what_is_counted():
    science = load(WMT14).runs()[0].science
    updates, epochs = science["recipe"]["updates"], science["recipe"]["epochs"]
    assert share(science, {"step": updates // 4, "epoch": 5 * epochs}) == pytest.approx(0.25)
    assert share(science, {"step": updates, "epoch": 20 * epochs}) == 1.0
    of_epochs = {"task": "detection", "recipe": {"data": "trees", "epochs": 8}}
    assert share(of_epochs, {"step": 700, "epoch": 2}) == 0.25
    assert share({**of_epochs, "task": "unheard of"}, {"step": 700, "epoch": 2}) == 0.0
    assert share(science, None) == 0.0


def test_the_pace_is_that_between_records_and_imports_are_no_part_of_it(tmp_path):
    folder = planned(tmp_path / "runs", epochs=10)
    begun(folder, 10 * AGO)
    assert left(folder) is None
    trained(folder, 1, ago=AGO)
    assert left(folder) is None
    trained(folder, 3, ago=0)
    assert left(folder) == pytest.approx(3.5 * AGO, rel=0.05)


def test_what_earlier_attempts_did_is_not_this_ones_pace(folder):
    begun(folder, AGO)
    assert left(folder) is None
    trained(folder, 7, ago=AGO / 2)
    assert left(folder) is None
    trained(folder, 8, ago=0)
    assert left(folder) == pytest.approx(AGO, rel=0.05)


def test_what_was_lost_with_the_last_attempt_is_done_again(folder):
    """It goes on from epoch 3, though 6 had been recorded."""
    begun(folder, AGO)
    paces = Paces()
    trained(folder, 4, ago=AGO / 2)
    trained(folder, 5, ago=0)
    assert left(folder, paces) == pytest.approx(2.5 * AGO, rel=0.05)
    trained(folder, 6, ago=0)
    assert left(folder, paces) == pytest.approx(AGO, rel=0.05)


def test_a_run_says_in_a_word_what_it_does(folder):
    def phase():
        return Paces().phase(folder, folder.run["science"])

    begun(folder, AGO)
    assert phase() == "starting"  # whatever an earlier attempt has recorded
    trained(folder, 7, ago=20)
    assert phase() == "training"
    trained(folder, 10, ago=0)
    assert phase() == "evaluating"


def test_all_runs_take_what_their_recipe_took_so_many_at_a_time(tmp_path):
    waiting = [planned(tmp_path / "runs", epochs=10, seed=seed) for seed in (3, 4, 5)]
    running = [planned(tmp_path / "runs", epochs=10, seed=seed) for seed in (1, 2)]
    for folder in running:
        begun(folder, 30)
    done = finished(planned(tmp_path / "runs", epochs=10, seed=0))
    found = states_of([done, *running, *waiting])
    names = [folder.path.name for folder in running]
    # 50 s of the first, the rest of half an hour of the second, three of those; two at a time.
    seconds = Remaining().seconds(found, {names[0]: 50.0, names[1]: None})
    assert seconds == pytest.approx((50 + 1770 + 5400) / 2, abs=2)
    unheard = planned(tmp_path / "runs", epochs=11)
    more = states_of([done, *running, *waiting, unheard])
    assert Remaining().seconds(more, {names[0]: 50.0, names[1]: None}) is None
    assert Remaining().seconds(found, {}) is None
