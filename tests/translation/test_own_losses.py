"""Mechanisms that add a loss of their own and know the step of the training."""

from __future__ import annotations

import pytest
import small_translation as small
import torch

from plugins.attention.sequences.generalized import GeneralizedAttention1d
from plugins.translation import train
from tests.attention.invented import Leaning, LeaningMap, installed

pytestmark = pytest.mark.train


def test_a_loss_of_its_own_is_learned_from_and_the_step_is_known(numbers, tmp_path):
    LeaningMap.seen.clear()
    with installed(leaning=Leaning):
        job = small.job(tmp_path, numbers, "leaning", ("encoder",), updates=3)
        train.train(job)
    assert LeaningMap.seen == [(0, 3), (1, 3), (2, 3)]
    state = torch.load(tmp_path / "checkpoints/checkpoint_last.pt", weights_only=True)["model"]
    (lean,) = (value for name, value in state.items() if name.endswith("attention.lean"))
    assert lean > 0  # nothing but its own loss moves it


def test_without_such_a_loss_nothing_is_wrapped(numbers, tmp_path):
    configuration, task, model = train.build(small.job(tmp_path, numbers, "1111"))
    assert any(isinstance(module, GeneralizedAttention1d) for module in model.modules())
    criterion = task.build_criterion(configuration.criterion)
    train._with_own_losses(criterion, train.Trained(model, None))
    assert "forward" not in vars(criterion)


def test_dynamic_convolutions_of_older_checkpoints_are_read(numbers, tmp_path):
    """The two projections belonged to the layer's unit, and belong to the mechanism by now."""
    _, _, model = train.build(small.job(tmp_path, numbers, "dynamic+deformable", ("encoder",)))
    new = model.state_dict()
    old = {name.replace(".then.attention.", ".then."): value for name, value in new.items()}
    assert "encoder.layers.0.self_attn.then.in_proj.weight" in old
    assert "encoder.layers.0.self_attn.conv.weight" in old
    _, _, other = train.build(small.job(tmp_path, numbers, "dynamic+deformable", ("encoder",)))
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    other.load_state_dict(old, strict=True)
    assert all(torch.equal(value, new[name]) for name, value in other.state_dict().items())
