"""Looking into a trained model: the weights are those it translates with."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import sentencepiece
import small_translation as small
import torch

from plugins.translation import train
from plugins.translation.look import look
from plugins.translation.unit import AttentionUnit

SENTENCE = "one two three four"


@pytest.fixture(scope="module")
def data(numbers, tmp_path_factory):
    """The numbers with a subword model, one piece a word."""
    folder = tmp_path_factory.mktemp("look") / "numbers"
    shutil.copytree(numbers, folder)
    sentencepiece.SentencePieceTrainer.train(
        input=f"{folder / 'train.en'},{folder / 'train.de'}",
        model_prefix=str(folder / "spm"),
        model_type="word",
        vocab_size=24,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return folder


@pytest.mark.train
@pytest.mark.parametrize(
    ("sites", "layer"),
    [
        (("cross",), "decoder.layers.0.encoder_attn"),
        (("encoder",), "encoder.layers.0.self_attn"),
        (("decoder",), "decoder.layers.0.self_attn"),
    ],
)
def test_the_weights_of_the_varied_site_are_shown(data, tmp_path, sites, layer):
    job = small.job(tmp_path / "run", data, "0111", sites, epochs=1)
    train.train(job)
    arrays = look(job, SENTENCE)
    assert [key for key in arrays if "/" in key] == [f"{layer}/weights"]
    assert arrays["source"].tolist() == ["▁one", "▁two", "▁three", "▁four", "</s>"]
    target = arrays["target"].tolist()
    weights = arrays[f"{layer}/weights"]
    queries = 5 if sites == ("encoder",) else len(target)
    keys = len(target) if sites == ("decoder",) else 5
    assert weights.shape == (4, queries, keys)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    if sites == ("decoder",):
        assert (np.triu(weights[0], 1) == 0).all()


@pytest.mark.train
def test_the_weights_are_those_fairseq_returns_for_alignment(data, tmp_path):
    job = small.job(tmp_path / "run", data, "1111", ("cross",), epochs=1)
    train.train(job)
    arrays = look(job, SENTENCE)
    _, task, model = train.build(job)
    state = torch.load(tmp_path / "run/checkpoints/checkpoint_last.pt", weights_only=True)
    model.load_state_dict(state["model"])
    model.eval()
    source = torch.tensor([[task.source_dictionary.index(token) for token in arrays["source"]]])
    best = [task.target_dictionary.index(token) for token in arrays["target"]]
    given = torch.tensor([[best[-1], *best[:-1]]])
    _, extra = model(source, torch.tensor([5]), given, alignment_layer=0)
    name = "decoder.layers.0.encoder_attn"
    mean = arrays[f"{name}/weights"].mean(axis=0)
    np.testing.assert_allclose(extra["attn"][0][0].detach().numpy(), mean, rtol=1e-4, atol=1e-6)
    assert isinstance(model.get_submodule(name), AttentionUnit)


def test_what_cannot_be_looked_at_is_said(data, tmp_path):
    with pytest.raises(ValueError, match="train the run first"):
        look(small.job(tmp_path / "new", data), SENTENCE)
    with pytest.raises(ValueError, match="the sentence is empty"):
        look(small.job(tmp_path / "new", data), "  ")
    with pytest.raises(ValueError, match="a sentence has no pixels: leave --query out"):
        look(small.job(tmp_path / "new", data), SENTENCE, (1, 2))


@pytest.mark.train
def test_a_sentence_that_the_model_has_no_positions_for_is_refused(data, tmp_path):
    job = small.job(tmp_path / "run", data, "1111", ("cross",), epochs=1)
    train.train(job)
    with pytest.raises(ValueError, match=r"has 1501 tokens; the model has been built for 1024 at"):
        look(job, "one two three " * 500)


@pytest.mark.train
def test_a_convolution_has_no_weights(data, tmp_path):
    job = small.job(tmp_path / "run", data, "dynamic", ("self",), epochs=1)
    train.train(job)
    with pytest.raises(ValueError, match="dynamic at self has no weights"):
        look(job, SENTENCE)
