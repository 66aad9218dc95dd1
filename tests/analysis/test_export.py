"""Runs in the formats of trackers, read back as those trackers read them."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path

import pytest
from command import study

ROOT = Path(__file__).parents[2]
GRID = ROOT / "grids/embedded/cross.yaml"
RUN = "translation-software-en-de-1111-cross-s0-0991481e641aed37"


@pytest.fixture(autouse=True)
def _results(monkeypatch, tmp_path):
    monkeypatch.setenv("STUDY_RESULTS", str(ROOT / "results"))
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def archived():
    return json.loads((ROOT / f"results/embedded/cross/{RUN}.json").read_text())


def export(*arguments) -> str:
    done = study("export", GRID, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of an event file: records of length, checksum, bytes, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.glob("events.out.tfevents.*")
    data, found = file.read_bytes(), {}
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
        data = data[16 + length :]
    return found


def test_tensorboard_has_curves_and_result_once_however_often_it_is_told(archived):
    assert "32 runs in results/tensorboard" in export()
    assert "tensorboard --logdir results/tensorboard" in export()  # again, in place of the first
    found = scalars(Path("results/tensorboard/embedded/cross") / RUN)
    loss = [
        (line["step"], line["loss"]) for line in archived["metrics"] if line["split"] == "train"
    ]
    assert [step for step, _ in found["train/loss"]] == [step for step, _ in loss]
    assert [value for _, value in found["train/loss"]] == pytest.approx([v for _, v in loss])
    bleu = archived["result"]["metrics"]["BLEU"]
    assert found["result/BLEU"][0][1] == pytest.approx(bleu)
    macs = archived["result"]["cost"]["mechanism"]["macs"]
    assert found["cost/mechanism_macs"][0][1] == pytest.approx(macs)


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_a_tracker_whose_package_is_missing_is_named(tracker):
    if importlib.util.find_spec(tracker):
        pytest.skip("it is installed")
    done = study("export", GRID, "--to", tracker)
    assert done.returncode == 2
    assert f"pip install {tracker}" in done.stderr
    assert not Path("results").exists()


def test_where_nothing_has_begun_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RESULTS", str(tmp_path / "none"))
    done = study("export", GRID)
    assert (done.returncode, "nothing is written" in done.stderr) == (2, True)
    assert not Path("results").exists()
