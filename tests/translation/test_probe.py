"""A probe makes the updates of a recipe, without data; and counts those of a training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import small_translation as small
from fairseq.trainer import Trainer

from plugins.contracts.tasks import find_task
from plugins.translation import train
from plugins.translation.batches import batches

TASK = find_task("translation")


@pytest.fixture
def updates(monkeypatch):
    """The batches of each update."""
    found = []
    step = Trainer.train_step

    def watch(self, samples, raise_oom=False):
        found.append(
            [(tuple(s["target"].shape), tuple(s["net_input"]["src_tokens"].shape)) for s in samples]
        )
        return step(self, samples, raise_oom)

    monkeypatch.setattr(Trainer, "train_step", watch)
    return found


def probe(tmp_path, world=1, **recipe):
    job = small.job(tmp_path, tmp_path / "absent", **recipe)
    return TASK.probe(dataclasses.replace(job, world=world), 2, 40)


def test_updates_are_of_the_recipes_tokens_and_of_a_processes_share(tmp_path, updates):
    found = probe(tmp_path, world=2, tokens_per_batch=1000, update_frequency=2)
    long, usual = ((2, 250), (2, 250)), ((16, 32), (16, 32))
    # First the longest sentences; then warm-up, two timed updates, one whose operators are counted.
    assert updates == [[long] * 2] + [[usual] * 2] * 4
    assert found.inputs == "2 x 16 pairs of 32 tokens; memory with 2 of 250"
    assert len(found.milliseconds) == 2
    assert min(found.milliseconds) > 0
    assert found.kernels > 100


def test_sentences_are_no_longer_than_a_batch(tmp_path, updates):
    assert probe(tmp_path, tokens_per_batch=20, precision="bfloat16").inputs == (
        "1 pairs of 20 tokens; memory with 1 of 20"
    )


@pytest.mark.data
@pytest.mark.parametrize("tokens", [400, 1000])
def test_batches_are_counted_as_fairseq_makes_them(tokens, tmp_path):
    from study import data

    folder = Path(data.path("software-en-de"))
    job = small.job(tmp_path, folder, tokens_per_batch=tokens)
    configuration, task, _ = train.build(job)
    task.load_dataset("train")
    iterator = task.get_batch_iterator(
        task.dataset("train"),
        max_tokens=configuration.dataset.max_tokens,
        max_positions=task.max_positions(),
        ignore_invalid_inputs=True,
        required_batch_size_multiple=1,
    )
    assert batches(folder, tokens) == len(iterator)
    recipe = job.recipe.model_copy(update={"epochs": 3, "update_frequency": 2})
    assert TASK.training_steps(recipe, None, folder) == 3 * -(-len(iterator) // 2)
    assert TASK.training_steps(recipe, 100, None) is None
    counted = job.recipe.model_copy(update={"updates": 50})
    assert TASK.training_steps(counted, None, None) == 50
