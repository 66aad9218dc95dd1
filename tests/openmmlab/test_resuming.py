"""A run stopped after any step, and in any of its phases, ends like an undisturbed one."""

from __future__ import annotations

import dataclasses

import few_steps
import pytest
import torch

from plugins.contracts.job import Stopped
from plugins.contracts.tasks import find_task
from plugins.openmmlab import records, training

pytestmark = pytest.mark.train

COMMON = {"epochs": 2, "batch_size": 2, "flip": 0.5, "dropout": 0.5}
RECIPES = {
    "segmentation": {**COMMON, "scale_range": (0.5, 2.0)},
    "classification": {**COMMON, "area_range": (0.3, 1.0), "warmup_epochs": 1},
}


class Run:
    """A run of three steps an epoch, whose attempts end after so many questions whether to.

    A question is asked after each step and each epoch.
    """

    def __init__(self, task, data, folder):
        self.lines = []
        job = few_steps.job(task, data, folder, **RECIPES[task])
        self.job = dataclasses.replace(
            job,
            record=lambda split, **values: self.lines.append({"split": split, **values}),
            recorded=lambda split: [line for line in self.lines if line["split"] == split],
        )
        self.folder = folder / "checkpoints"
        self.train = find_task(task).train

    def attempt(self, questions=None):
        """Train; return the names of the checkpoints."""
        if questions is None:
            self.train(self.job)
        else:
            asked = iter(range(1, 1000))
            stopping = lambda: next(asked) >= questions  # noqa: E731
            with pytest.raises(Stopped):
                self.train(dataclasses.replace(self.job, stopping=stopping))
        return sorted(path.name for path in self.folder.glob("*.pth"))

    def state(self):
        return torch.load(self.folder / "epoch_2.pth", weights_only=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    few_steps.make_data(folder)
    return folder


@pytest.mark.parametrize("task", RECIPES)
def test_stopped_in_every_phase_and_resumed_equals_undisturbed(task, data, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RECORD_INTERVAL", 2)
    undisturbed = Run(task, data, tmp_path / "undisturbed")
    assert undisturbed.attempt() == ["epoch_1.pth", "epoch_2.pth"]
    run = Run(task, data, tmp_path / "stopped")
    # Within the first epoch.
    assert run.attempt(2) == ["epoch_0_step_2.pth"]
    # While the two batches are drawn again.
    assert run.attempt(2) == ["epoch_0_step_2.pth"]
    # After the last step of an epoch: before its evaluation.
    assert run.attempt(3) == ["epoch_1.pth"]
    assert [line["split"] for line in run.lines] == ["untrained", "train", "train"]
    # Within the second epoch, and after its end.
    assert run.attempt(1) == ["epoch_1.pth", "epoch_1_step_4.pth"]
    assert run.attempt(3) == ["epoch_1.pth", "epoch_2.pth"]
    assert run.attempt() == ["epoch_1.pth", "epoch_2.pth"]
    assert_equal(run, undisturbed)


def test_data_loaded_by_workers_are_the_same(data, tmp_path, monkeypatch):
    """Workers, as beside a GPU, have random states of their own."""
    loader = training.loader

    def with_workers(job, dataset, batch_size, shuffle):
        # None for the evaluation: those that outlive it keep the garbage collector waiting.
        monkeypatch.setitem(training.WORKERS, "cpu", 2 if shuffle else 0)
        return loader(job, dataset, batch_size, shuffle)

    monkeypatch.setattr(training, "loader", with_workers)
    monkeypatch.setattr(records, "RECORD_INTERVAL", 2)
    undisturbed = Run("segmentation", data, tmp_path / "undisturbed")
    undisturbed.attempt()
    run = Run("segmentation", data, tmp_path / "stopped")
    assert run.attempt(6) == ["epoch_1.pth", "epoch_1_step_5.pth"]
    run.attempt()
    assert_equal(run, undisturbed)


def assert_equal(run, undisturbed):
    assert run.lines == undisturbed.lines  # each step recorded once
    losses = [line["loss"] for line in run.lines if line["split"] == "train"]
    assert len(losses) == len(set(losses)) > 3
    ours, expected = run.state(), undisturbed.state()
    assert ours["meta"]["iter"] == expected["meta"]["iter"]
    assert ours["param_schedulers"] == expected["param_schedulers"]
    for name, tensor in expected["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], tensor), name
