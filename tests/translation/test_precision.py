"""Training in bfloat16, and batches of which several make one update."""

from __future__ import annotations

import dataclasses
import json

import pytest
import small_translation as small
import torch

from plugins.contracts.job import Stopped
from plugins.translation import train
from plugins.translation.checkpoints import newest_readable
from plugins.translation.recipe import Recipe
from plugins.translation.transformer import SpatialAttentionTransformer

pytestmark = pytest.mark.train


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def records(folder, split):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == split]


@pytest.fixture(scope="module")
def halved(numbers, tmp_path_factory):
    """A run in bfloat16, and the types of the logits that it learnt from."""
    folder, seen = tmp_path_factory.mktemp("bfloat16"), set()
    forward = SpatialAttentionTransformer.forward

    def watched(self, *inputs, **options):
        logits, extra = forward(self, *inputs, **options)
        if self.training:
            seen.add(logits.dtype)
        return logits, extra

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpatialAttentionTransformer, "forward", watched)
        train.train(small.job(folder, numbers, updates=12, precision="bfloat16"))
    return folder, seen


def test_a_model_learns_in_bfloat16_what_it_learns_in_float32(numbers, halved, tmp_path):
    folder, seen = halved
    assert seen == {torch.bfloat16}
    train.train(small.job(tmp_path, numbers, updates=12))
    ours, full = ([line["loss"] for line in records(f, "train")] for f in (folder, tmp_path))
    assert ours == pytest.approx(full, rel=0.03)
    assert ours != full
    ours, full = (records(f, "val")[-1]["perplexity"] for f in (folder, tmp_path))
    assert ours == pytest.approx(full, rel=0.05)


def test_a_run_that_was_stopped_ends_like_an_undisturbed_one(numbers, halved, tmp_path):
    asked = iter(range(100))
    job = small.job(tmp_path, numbers, updates=12, precision="bfloat16")
    with pytest.raises(Stopped):
        train.train(dataclasses.replace(job, stopping=lambda: next(asked) >= 5))
    assert newest_readable(tmp_path / "checkpoints") is not None
    train.train(small.job(tmp_path, numbers, updates=12, precision="bfloat16"))
    assert records(tmp_path, "val")[-1] == records(halved[0], "val")[-1]


def test_cost_in_half_precision_is_counted_without_a_gpu(numbers, tmp_path):
    # Nothing is learnt where cost is counted and weights are evaluated.
    assert train.cost(small.job(tmp_path, numbers, precision="float16")).model["macs"] > 0


def test_what_an_update_learns_from_is_said():
    many = Recipe(tokens_per_batch=7500, update_frequency=4)
    assert many.step == (
        "a step: at most 30,000 tokens, 4 batches of 7,500 each, one after the other;"
        " learning rate up to 0.001"
    )
    assert Recipe().step == "a step: at most 4,096 tokens; learning rate up to 0.001"


def test_an_update_that_overflows_is_left_out_and_not_recorded(numbers, tmp_path, monkeypatch):
    """As with float16, whose first updates find the scale of the loss."""
    from fairseq.trainer import Trainer

    clip, calls = Trainer.clip_grad_norm, []

    def overflowing(self, norm):
        calls.append(norm)
        if len(calls) <= 2:
            raise OverflowError("as told")
        return clip(self, norm)

    monkeypatch.setattr(Trainer, "clip_grad_norm", overflowing)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)  # where fairseq puts a zero
    train.train(small.job(tmp_path, numbers, updates=12))
    assert len(calls) == 14
    assert [line["step"] for line in records(tmp_path, "train")] == [1, 10]
    assert all(line["loss"] > 0 for line in records(tmp_path, "train"))
