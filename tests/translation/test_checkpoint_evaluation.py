"""A checkpoint of a finished run reaches, evaluated by itself, what was recorded at its end."""

from __future__ import annotations

import dataclasses

import pytest
import small_translation as small
import torch

from plugins.attention.mechanism import Mechanism
from plugins.job import CheckpointError
from plugins.translation import train
from plugins.translation.checkpoints import LAST

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def finished(numbers, tmp_path_factory):
    torch.set_num_threads(1)
    job = small.job(tmp_path_factory.mktemp("run"), numbers, mechanism="1011", epochs=8)
    train.train(job)
    return job


def test_bleu_and_perplexity_are_those_of_the_run(finished, tmp_path):
    checkpoint = finished.folder / "checkpoints" / LAST
    alone = dataclasses.replace(finished, folder=tmp_path, record=None, recorded=None)
    result = finished.recorded("val")[-1]
    found = train.evaluate(alone, checkpoint)
    assert found == {metric: result[metric] for metric in ("BLEU", "perplexity")}
    assert found["BLEU"] > 0
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_of_the_model_is_refused(finished, tmp_path):
    checkpoint = finished.folder / "checkpoints" / LAST
    other = dataclasses.replace(finished, mechanism=Mechanism.parse("1111"))
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
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="no checkpoint of fairseq: it has no 'model'"):
        train.evaluate(finished, tmp_path / "other.pt")
    (tmp_path / "other.pt").write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"other\.pt is no file of torch's, or a damaged one"):
        train.evaluate(finished, tmp_path / "other.pt")
