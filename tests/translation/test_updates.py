"""A schedule in updates: so many are made, also within an epoch, however often interrupted."""

from __future__ import annotations

import dataclasses
import json

import pytest
import small_translation as small
import torch

from plugins.contracts.job import Stopped
from plugins.translation import train
from plugins.translation.arguments import fairseq_arguments
from plugins.translation.recipe import Recipe

pytestmark = pytest.mark.train


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def records(folder, split):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == split]


def test_the_field_leaves_no_trace_where_it_is_not_given():
    assert "updates" not in Recipe().model_dump(mode="json")
    given = Recipe(updates=7).model_dump(mode="json")
    assert given["updates"] == 7
    assert Recipe.model_validate(given) == Recipe(updates=7)


def test_fairseq_is_given_updates_instead_of_epochs(numbers, tmp_path):
    arguments = fairseq_arguments(small.job(tmp_path, numbers, updates=7))
    assert arguments[arguments.index("--max-update") + 1] == "7"
    assert "--max-epoch" not in arguments
    assert "--max-update" not in fairseq_arguments(small.job(tmp_path, numbers))


@pytest.fixture(scope="module")
def epoch(numbers, tmp_path_factory) -> int:
    """Updates of an epoch."""
    folder = tmp_path_factory.mktemp("epoch")
    train.train(small.job(folder, numbers, epochs=1))
    return records(folder, "val")[-1]["step"]


@pytest.fixture(scope="module")
def undisturbed(numbers, epoch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    train.train(small.job(folder, numbers, epochs=1, updates=epoch + 7))
    return folder


def test_training_ends_within_an_epoch_and_is_evaluated_there(undisturbed, epoch):
    vals = records(undisturbed, "val")
    assert vals[0]["step"] == epoch
    assert vals[0]["epoch"] == 1
    last = vals[-1]
    assert last["step"] == epoch + 7
    assert last["epoch"] == pytest.approx(1 + 7 / epoch, abs=1e-4)
    assert {"BLEU", "perplexity"} <= set(last)
    assert max(line["step"] for line in records(undisturbed, "train")) <= epoch + 7


def test_as_many_updates_as_whole_epochs_are_the_epochs(numbers, epoch, tmp_path):
    train.train(small.job(tmp_path / "epochs", numbers, epochs=2))
    train.train(small.job(tmp_path / "updates", numbers, epochs=9, updates=2 * epoch))
    by_epochs, by_updates = (records(tmp_path / name, "val")[-1] for name in ("epochs", "updates"))
    assert by_updates == by_epochs


@pytest.mark.parametrize("after", [-3, 3])
def test_a_run_that_was_stopped_ends_like_an_undisturbed_one(
    numbers, undisturbed, epoch, after, tmp_path
):
    """Stopped in the first epoch, and in the one that the schedule ends in."""
    job = small.job(tmp_path, numbers, epochs=1, updates=epoch + 7)
    asked = []

    def stopping():
        asked.append(None)
        return len(asked) >= epoch + after

    with pytest.raises(Stopped):
        train.train(dataclasses.replace(job, stopping=stopping))
    again = small.job(tmp_path, numbers, epochs=1, updates=epoch + 7)
    train.train(again)
    assert records(tmp_path, "val")[-1] == records(undisturbed, "val")[-1]


def test_a_finished_schedule_is_not_trained_on(numbers, undisturbed, epoch):
    before = records(undisturbed, "train"), records(undisturbed, "val")[-1]
    train.train(small.job(undisturbed, numbers, epochs=1, updates=epoch + 7))
    assert (records(undisturbed, "train"), records(undisturbed, "val")[-1]) == before
