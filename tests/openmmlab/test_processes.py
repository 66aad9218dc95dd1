"""Several processes train what one trains, and a run of theirs survives the death of one."""

from __future__ import annotations

import dataclasses
import json
import signal
import time

import attempts
import few_steps
import numpy as np
import pytest
import torch
from mmengine.registry import DATA_SAMPLERS
from PIL import Image

from plugins.openmmlab.training import WholeBatches, share
from plugins.segmentation.data.layout import LABEL_END, LABELS
from study import data
from study.grid.reading import load
from study.runs.folder import RunFolder
from study.runs.run import open_folder

pytestmark = pytest.mark.train

STEPS = 4
ALTERNATING = {
    "network": "recurrent_attention", "scales": 2, "depth": 11, "epochs": 12, "learning_rate": 0.01
}  # fmt: skip
"""In eleven steps the classifiers learn, then the proposals their start, and then to rank."""
TRAININGS = [(task, {}, STEPS) for task in few_steps.RECIPES]
ROUNDING = 2e-5


@pytest.mark.parametrize(
    ("task", "options", "steps"), [*TRAININGS, ("classification", ALTERNATING, 11)]
)
def test_two_processes_make_the_steps_of_one(task, options, steps, start, tmp_path):
    """Compares the mean of the gradients that SGD's momentum is, and the weights.

    What would keep them from being equal is left out: flips, crops and dropout, which each process
    draws for itself, and the choice of regions that a detector learns from, which here is the first
    so many of an image. Both processes then average over equally many regions or pixels, as they
    do in a real training wherever an image offers enough regions. Normalisation is as in any run.
    """
    few_steps.make_data(tmp_path / "data")
    script = few_steps.__file__
    two = start(2, script, task, tmp_path / "data", tmp_path / "two", json.dumps(options))
    few_steps.train(task, tmp_path / "data", tmp_path / "one", **options)
    two.succeed()
    ours, expected = (
        torch.load(tmp_path / n / "checkpoints" / f"epoch_{steps}.pth", weights_only=False)
        for n in ("two", "one")
    )
    assert ours["meta"]["iter"] == expected["meta"]["iter"] == steps
    assert ours["state_dict"].keys() == expected["state_dict"].keys()
    for name, tensor in expected["state_dict"].items():
        torch.testing.assert_close(
            ours["state_dict"][name], tensor, rtol=ROUNDING, atol=ROUNDING, msg=name
        )
    sizes = []
    for parameter, state in expected["optimizer"]["state"].items():
        momentum = state["momentum_buffer"]
        sizes.append(momentum.abs().max().item())
        torch.testing.assert_close(
            ours["optimizer"]["state"][parameter]["momentum_buffer"],
            momentum,
            rtol=0,
            atol=ROUNDING * max(sizes[-1], 1e-6),
        )
    assert max(sizes) > 0.1


@pytest.mark.data
def test_a_run_survives_being_stopped_and_the_death_of_a_process(start, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        """
task: segmentation
recipe: {data: landcover, epochs: 2, crop: [48, 48], batch_size: 16}
product: {mechanism: [1011]}
"""
    )
    folder = open_folder(load(grid).runs()[0], tmp_path / "run")
    stopped = _attempt(start, folder)
    _reach(stopped, folder, 0)
    for process in stopped:
        process.send_signal(signal.SIGTERM)
    assert stopped.wait() == [143, 143]
    (within,) = (folder.path / "checkpoints").glob("*.pth")
    done = int(within.stem.removeprefix("epoch_0_step_"))

    killed = _attempt(start, folder)
    _reach(killed, folder, 1)
    killed[1].kill()
    assert killed[0].wait(60) != 0
    assert folder.result is None
    _attempt(start, folder).succeed()

    assert folder.result["attempts"] == 3
    items = attempts.items_of_result(folder)
    # The processes evaluate images in turns; here they are in the order of their names.
    labels = sorted((data.path("landcover") / LABELS / "val").rglob(f"*{LABEL_END}"))
    counted = [np.bincount(np.asarray(Image.open(path)).ravel(), minlength=256) for path in labels]
    assert items["labelled"].tolist() == np.array(counted)[:, : items["labelled"].shape[1]].tolist()
    causes = [attempt.exit["cause"] for attempt in folder.attempts]
    assert causes == ["preempted", "failed", "completed"]
    places = [(line["split"], line["step"], line["epoch"]) for line in folder.metrics]
    assert [place for place in places if place[0] != "train"] == [
        ("untrained", 0, 0), ("val", 18, 1), ("val", 36, 2)
    ]  # fmt: skip
    assert [step for split, step, _ in places if split == "train"] == [1, 10, 20, 30]
    # The steps since the last checkpoint were made twice, and came out the same.
    everything = [json.dumps({**line, "time": 0}) for line in _lines(folder)]
    assert len(everything) > len(set(everything)) == len(places)
    names = {path.name for path in (folder.path / "checkpoints").glob("*.pth")}
    assert names == {"epoch_1.pth", "epoch_2.pth"}
    log = (folder.path / "train.log").read_text()
    assert log.count(f"resumed epoch: 0, iter: {done}\n") == log.count("resumed epoch: 1") == 1


def _reach(processes, folder: RunFolder, epoch: int) -> None:
    """Wait until something is recorded after that epoch."""
    deadline = time.monotonic() + 200
    while max((line["epoch"] for line in _lines(folder)), default=0) <= epoch:
        assert time.monotonic() < deadline
        assert processes[0].poll() is None, processes[0].path.read_text()
        time.sleep(0.02)


def _attempt(start, folder: RunFolder):
    n = str(folder.claim().n)
    return start(2, "-m", "study.worker", folder.path, n, "--device", "cpu")


def _lines(folder: RunFolder) -> list[dict]:
    path = folder.path / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    def shared(world, **recipe):
        job = few_steps.job("segmentation", tmp_path, tmp_path, **recipe)
        return share(dataclasses.replace(job, world=world))

    assert shared(4, batch_size=8) == 2
    assert shared(2, batch_size=8, accumulate=4) == 4
    with pytest.raises(ValueError, match="12 is not divisible by 5 processes: 1, 2, 3, 4, 6, 12"):
        shared(5, batch_size=12)
    told = r"8 is not divisible by 4 processes x 4 parts \(accumulate\): 1, 2 processes would do"
    with pytest.raises(ValueError, match=told):
        shared(4, batch_size=8, accumulate=4)
    with pytest.raises(ValueError, match=r"accumulate \(3\) must divide batch_size \(8\)"):
        shared(1, batch_size=8, accumulate=3)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_share_the_batches_of_one(world, monkeypatch):
    def batches(world):
        parts = []
        for rank in range(world):
            monkeypatch.setattr("mmengine.dataset.sampler.get_dist_info", lambda: (rank, world))  # noqa: B023
            sampler = DATA_SAMPLERS.build(
                {"type": "WholeBatches", "batch_size": 4, "dataset": range(15), "seed": 0}
            )
            assert isinstance(sampler, WholeBatches)
            indices = list(sampler)
            assert len(indices) == len(sampler) == 12 // world
            parts.append(torch.tensor(indices).view(3, 4 // world))
        return torch.cat(parts, dim=1).sort().values

    assert torch.equal(batches(world), batches(1))
