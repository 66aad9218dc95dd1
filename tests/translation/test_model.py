"""The model around the mechanisms: what is built where, and what is refused."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import pytest
import small_translation as small
import torch
import torch.nn.functional as F
from fairseq import options, utils
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.models.transformer import TransformerModel
from fairseq.models.transformer.transformer_config import EncDecBaseConfig
from torch.testing import assert_close

import plugins.translation
from plugins.attention import DeformableConv1d
from plugins.attention.core.word import Word
from plugins.translation.attention import (
    Attention,
    Before,
    NoAttention,
    build_attention,
)
from plugins.translation.transformer import NAME, SpatialAttentionTransformer, architecture
from plugins.translation.unit import AttentionUnit

USER_DIR = Path(plugins.translation.__file__).parent


def units(model):
    return [module for module in model.modules() if isinstance(module, AttentionUnit)]


def test_none_leaves_nothing_of_the_sub_layer():
    layer = small.model(encoder="none").encoder.layers[0]
    assert not any(name.startswith("self_attn") for name, _ in layer.named_parameters())
    x = torch.randn(5, 2, 32)
    inner = F.relu(x @ layer.fc1.weight.T + layer.fc1.bias) @ layer.fc2.weight.T + layer.fc2.bias
    norm = layer.final_layer_norm
    expected = F.layer_norm(x + inner, (32,), norm.weight, norm.bias)
    assert_close(layer(x, encoder_padding_mask=None), expected)


def test_deformable_comes_before_attention_with_a_residual_each():
    torch.manual_seed(0)
    unit = build_attention(Word.parse("1110+deformable"), "encoder", 8, 2).double()
    assert isinstance(unit, Before)
    assert isinstance(unit.then, Attention)
    for parameter in unit.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(6, 3, 8, dtype=torch.float64)
    padding = torch.arange(6) >= torch.tensor([6, 4, 2])[:, None]
    h = x + unit.conv(x.transpose(0, 1), key_padding_mask=padding).transpose(0, 1)
    attended, _ = unit.then(h, h, h, key_padding_mask=padding)
    out, _ = unit(x, x, x, key_padding_mask=padding)
    assert_close(x + out, h + attended)


def test_deformable_alone_keeps_residual_and_norm():
    layer = small.model(encoder="none+deformable").encoder.layers[0]
    assert isinstance(layer.self_attn.then, NoAttention)
    assert isinstance(layer.self_attn.conv, DeformableConv1d)
    assert isinstance(layer.self_attn_layer_norm, torch.nn.LayerNorm)


def test_range_gives_convolution_the_keys_that_attention_sees():
    for place in ("encoder", "decoder"):
        seen = []
        for word in ("0110@2", "dynamic@2"):
            torch.manual_seed(0)
            unit = build_attention(Word.parse(word), place, 8, 2).double()
            x = torch.randn(9, 1, 8, dtype=torch.float64, requires_grad=True)
            future = torch.full((9, 9), -torch.inf).triu(1) if place == "decoder" else None
            out, _ = unit(x, x, x, attn_mask=future)
            (gradient,) = torch.autograd.grad(out[4].sin().sum(), x)
            seen.append(gradient.abs().sum(dim=(1, 2)).nonzero().flatten().tolist())
        assert seen[0] == seen[1] == ([2, 3, 4, 5, 6] if place == "encoder" else [2, 3, 4])


def test_every_unit_works_in_training_and_in_evaluation():
    for training in (True, False):
        model = small.model("0110", "0011", "1000").train(training)
        called: list = []
        for unit in units(model):
            unit.register_forward_hook(lambda module, *_, called=called: called.append(module))
        model(**small.batch(), prev_output_tokens=torch.randint(4, 8, (3, 5)))
        assert called == [
            *(layer.self_attn for layer in model.encoder.layers),
            *(s for layer in model.decoder.layers for s in (layer.self_attn, layer.encoder_attn)),
        ]


def test_a_model_leaves_no_trace_in_the_next():
    def built(**given):
        arguments = argparse.Namespace(**given)
        architecture(arguments)
        return SpatialAttentionTransformer.build_model(arguments, small.Task())

    size = {"encoder_layers": 1, "decoder_layers": 1}
    built(
        **size,
        encoder_self_attention="none",
        decoder_self_attention="dynamic",
        encoder_embed_dim=48,
        encoder_attention_heads=4,
        decoder_attention_heads=2,
    )
    second = built(**size)
    assert [unit.attention.terms for unit in units(second)] == ["1111"] * 3
    assert {unit.num_heads for unit in units(second)} == {8}
    assert second.encoder.embed_tokens.embedding_dim == 512
    assert not hasattr(EncDecBaseConfig, "self_attention")
    stock = argparse.Namespace(encoder_layers=1, decoder_layers=1, encoder_embed_dim=64)
    assert not units(TransformerModel.build_model(stock, small.Task()))


def test_user_dir_after_the_package_registers_once(monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(utils.import_user_module, "memo", set(), raising=False)
    known = set(sys.modules)
    before = MODEL_REGISTRY[NAME], ARCH_MODEL_REGISTRY[f"{NAME}_tiny"]
    importlib.import_module("plugins.translation.models.spatial_attention_transformer")
    utils.import_user_module(argparse.Namespace(user_dir=str(USER_DIR)))
    assert "translation.models.spatial_attention_transformer" in sys.modules
    assert before == (MODEL_REGISTRY[NAME], ARCH_MODEL_REGISTRY[f"{NAME}_tiny"])
    assert before[0] is SpatialAttentionTransformer
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_unknown_word_on_the_command_line_gets_the_nearest(capsys):
    command = ["somewhere", "--arch", NAME, "--encoder-self-attention", "0110+deformible"]
    with pytest.raises(SystemExit):
        options.parse_args_and_arch(options.get_training_parser(), command)
    error = capsys.readouterr().err
    assert "argument --encoder-self-attention: unknown mechanism '0110+deformible'" in error
    assert "did you mean '0110+deformable'?" in error


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cross": "none"}, "indispensable"),
        ({"cross": "dynamic"}, "self-attention only"),
        ({"cross": "0010+deformable"}, "self-attention only"),
        ({"cross": "0110@3"}, "within one sentence"),
        ({"decoder": "011"}, r"did you mean '[01]{4}'"),
        ({"attention_dropout": 0.1}, "has no --attention-dropout"),
        ({"cross_self_attention": True}, "has no --cross-self-attention"),
        ({"quant_noise_pq": 0.1}, "has no --quant-noise-pq"),
    ],
)
def test_what_cannot_be_built_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        small.model(**given)


@pytest.mark.parametrize("side", ["source", "target"])
def test_padding_on_the_left_is_refused_where_columns_count(side):
    arguments = argparse.Namespace(encoder_layers=1, decoder_layers=1, cross_attention="0001")
    architecture(arguments)
    task = small.Task(**{f"left_pad_{side}": True})
    with pytest.raises(ValueError, match=f"--left-pad-{side}"):
        SpatialAttentionTransformer.build_model(arguments, task)
    arguments.cross_attention = "1010"
    SpatialAttentionTransformer.build_model(arguments, task)


def test_padding_on_the_left_is_the_same_within_a_sentence():
    model = small.model(encoder="0111", cross="1010")
    source = small.batch()
    tokens, lengths = source["src_tokens"], source["src_lengths"]
    left = torch.stack([row.roll(9 - n) for row, n in zip(tokens, lengths.tolist(), strict=True)])
    target = torch.randint(4, 8, (3, 5))
    on_the_right, _ = model(tokens, lengths, target)
    on_the_left, _ = model(left, lengths, target)
    assert_close(on_the_left, on_the_right, rtol=0, atol=1e-4)


def test_masks_that_no_unit_knows_are_refused():
    x = torch.randn(4, 1, 8)
    for place in ("encoder", "cross"):
        unit = build_attention(Word.parse("1000"), place, 8, 2)
        with pytest.raises(ValueError, match="attn_mask"):
            unit(x, x, x, attn_mask=torch.zeros(4, 4))
