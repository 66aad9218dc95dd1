"""Parameters beside those of fairseq's own models."""

import argparse

import pytest
import torch
from fairseq.models import lightconv
from fairseq.models.transformer import TransformerConfig, TransformerModel, base_architecture

from plugins.translation import train
from plugins.translation.transformer import (
    DecoderLayer,
    EncoderLayer,
    SpatialAttentionTransformer,
    architecture,
)

WORDS = 37_000
PUBLISHED_BASE = 65e6
"""Vaswani et al. 2017, table 3: the base model with a joint vocabulary of about 37,000."""


class Task:
    """What a model asks of its task."""

    cfg = argparse.Namespace(left_pad_source=False)

    def __init__(self):
        self.source_dictionary = self.target_dictionary = train.made_up(WORDS)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def arguments(word):
    places = ("encoder_self_attention", "decoder_self_attention", "cross_attention")
    made = argparse.Namespace(
        **dict.fromkeys(places[:2], word),
        cross_attention="1000",
        no_token_positional_embeddings=True,
        share_all_embeddings=True,
    )
    architecture(made)
    return made


def test_the_base_transformer_has_fairseqs_parameters_but_two_biases():
    """Ours has none in the projections of queries and keys: 6 + 6 + 6 attentions, 512 features."""
    theirs = argparse.Namespace(share_all_embeddings=True)
    base_architecture(theirs)
    theirs.share_decoder_input_output_embed = True
    with torch.device("meta"):
        fairseq = parameters(TransformerModel.build_model(theirs, Task()))
        ours = parameters(SpatialAttentionTransformer.build_model(arguments("1000"), Task()))
    assert fairseq - ours == 18 * 2 * 512
    assert ours == pytest.approx(PUBLISHED_BASE, rel=0.05)


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_a_layer_with_dynamic_convolution_has_fairseqs_parameters(half):
    """But a bias after the convolution, which the definition does not have.

    The decoder's layer has its attention to the source, too, with the two biases of above.
    """
    theirs = argparse.Namespace(
        **{f"{half}_conv_type": "dynamic", f"{half}_glu": True, f"{half}_conv_dim": 512},
        weight_softmax=True,
        weight_dropout=0.0,
    )
    lightconv.base_architecture(theirs)
    ours = TransformerConfig.from_namespace(arguments("dynamic"))
    if half == "encoder":
        pair = lightconv.LightConvEncoderLayer(theirs, 3), EncoderLayer(ours)
        biases = 512
    else:
        pair = lightconv.LightConvDecoderLayer(theirs, kernel_size=3), DecoderLayer(ours)
        biases = 512 + 2 * 512
    fairseq, own = map(parameters, pair)
    assert fairseq - own == biases
