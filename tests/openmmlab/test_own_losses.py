"""Mechanisms that add a loss of their own and know the step of the training."""

from __future__ import annotations

import dataclasses

import few_steps
import pytest
import torch

from plugins.attention.core.word import Word
from plugins.contracts.tasks import find_task
from tests.attention.invented import Leaning, LeaningMap, installed

pytestmark = pytest.mark.train


@pytest.mark.parametrize("task", few_steps.RECIPES)
def test_a_loss_of_its_own_is_learned_from_and_the_step_is_known(task, tmp_path):
    few_steps.make_data(tmp_path / "data")
    recorded = []
    LeaningMap.seen.clear()
    with installed(leaning=Leaning):
        job = dataclasses.replace(
            few_steps.job(task, tmp_path / "data", tmp_path / "run", epochs=2),
            mechanism=Word.parse("leaning"),
            sites=("conv5",),
            record=lambda split, **values: recorded.append((split, values)),
        )
        find_task(task).train(job)
    assert LeaningMap.seen == [(0, 2), (1, 2)]
    losses = [values["loss_mechanism"] for split, values in recorded if split == "train"]
    assert losses
    (path,) = (tmp_path / "run/checkpoints").glob("epoch_2.pth")
    state = torch.load(path, weights_only=False)["state_dict"]
    (lean,) = (value for name, value in state.items() if name.endswith("leaning.lean"))
    assert lean > 0  # nothing but its own loss moves it
