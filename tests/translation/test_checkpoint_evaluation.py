"""A checkpoint of a finished run reaches, evaluated by itself, what was recorded at its end."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import small_translation as small
import torch

from plugins.attention.core.word import Word
from plugins.contracts.job import CheckpointError
from plugins.translation import train
from plugins.translation.checkpoints import LAST
from plugins.translation.task import Translation

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def finished(numbers, tmp_path_factory):
    torch.set_num_threads(1)
    job = small.job(tmp_path_factory.mktemp("run"), numbers, mechanism="1011", epochs=8)
    train.train(job)
    return job


def test_bleu_and_perplexity_are_those_of_the_run(finished, tmp_path):
    checkpoint = finished.folder / "checkpoints" / LAST
    given = []
    alone = dataclasses.replace(
        finished, folder=tmp_path, record=None, recorded=None, items=given.append
    )
    result = finished.recorded("val")[-1]
    found = train.evaluate(alone, checkpoint)
    assert found == {metric: result[metric] for metric in ("BLEU", "perplexity")}
    assert found["BLEU"] > 0
    (items,) = given
    weights = np.ones((1, finished.recipe.evaluation_sentences), int)
    assert Translation().value_of_items(items, weights) == pytest.approx(found["BLEU"], abs=1e-9)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_of_the_model_is_refused(finished, tmp_path):
    checkpoint = finished.folder / "checkpoints" / LAST
    other = dataclasses.replace(finished, mechanism=Word.parse("1111"))
    with pytest.raises(CheckpointError, match="its encoder_self_attention is 1011, here 1111"):
        train.evaluate(other, checkpoint)
    placed = finished.recipe.model_copy(update={"absolute_positions": True})  # no parameters
    with pytest.raises(CheckpointError, match="no_token_positional_embeddings is True, here False"):
        train.evaluate(dataclasses.replace(finished, recipe=placed), checkpoint)
    content = torch.load(checkpoint, weights_only=True)
    content["model"]["more"] = content["model"].pop("encoder.layers.0.fc1.bias")
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"lacks encoder\S*fc1.bias; it has besides more"):
        train.evaluate(finished, tmp_path / "other.pt")
    (tmp_path / "other.pt").write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"other\.pt is no file of torch's, or a damaged one"):
        train.evaluate(finished, tmp_path / "other.pt")


FOREIGN = {
    "it has no 'model', but state_dict": lambda good: {"state_dict": {}},
    "it has no 'model', but list": lambda good: [1],
    "its 'model' is of type list; a checkpoint has tensors": lambda good: good | {"model": [1]},
    "its 'model' has under 'encoder' a dict": lambda good: good | {"model": {"encoder": {}}},
    "its 'model' has under 3 a Tensor": lambda good: good | {"model": {3: torch.zeros(1)}},
    "its 'cfg' is of type str, not dict": lambda good: good | {"cfg": "text"},
    "its 'model' is of type str, not Namespace or": lambda good: good | {"cfg": {"model": "text"}},
    "its 'args' is of type dict, not Namespace": lambda good: good | {"cfg": None, "args": {}},
    "has no 'cfg' with a 'model', where fairseq": lambda good: {"model": good["model"]},
}


@pytest.mark.parametrize("reason", FOREIGN)
def test_what_is_wrong_in_a_foreign_file_is_named(reason, finished, tmp_path):
    good = torch.load(finished.folder / "checkpoints" / LAST, weights_only=True)
    torch.save(FOREIGN[reason](good), tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=rf"other\.pt (is no .*: )?{reason}"):
        train.evaluate(finished, tmp_path / "other.pt")


def test_the_options_of_an_older_fairseq_are_compared(finished, tmp_path):
    """Until version 0.9 they stood under another name."""
    good = torch.load(finished.folder / "checkpoints" / LAST, weights_only=True)
    older = {"args": good["cfg"]["model"], "cfg": None, "model": good["model"]}
    torch.save(older, tmp_path / "older.pt")
    assert train.evaluate(finished, tmp_path / "older.pt")["perplexity"] > 0
    older["args"].encoder_attention_heads *= 2
    torch.save(older, tmp_path / "older.pt")
    with pytest.raises(CheckpointError, match="its encoder_attention_heads is"):
        train.evaluate(finished, tmp_path / "older.pt")
