"""Our modules beside fairseq's own, with the same weights."""

from __future__ import annotations

import argparse

import pytest
import small_translation as small
import torch
from fairseq import utils
from fairseq.models.transformer import TransformerModel
from fairseq.models.transformer.transformer_legacy import tiny_architecture
from fairseq.modules import MultiheadAttention
from fairseq.modules.dynamic_convolution import DynamicConv1dTBC
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from plugins.attention import DynamicConv1d
from plugins.attention.core.word import Word
from plugins.attention.kernels.sequences import forms
from plugins.translation.attention import build_attention

T, S, N, C, M = 6, 9, 3, 16, 4
EXACT = {"rtol": 0, "atol": 1e-10}


@pytest.fixture(autouse=True)
def _softmax_in_double(monkeypatch):
    # fairseq's is in single precision always, which would hide differences up to 1e-7.
    monkeypatch.setattr(utils, "softmax", lambda x, dim, onnx_trace=False: x.softmax(dim))


def inputs(length: int) -> torch.Tensor:
    return torch.randn(length, N, C, dtype=torch.float64, requires_grad=True)


def right_padding(length: int) -> torch.Tensor:
    return torch.arange(length) >= torch.tensor([length, length - 2, 1])[:, None]


def pair(place: str) -> tuple[torch.nn.Module, MultiheadAttention]:
    torch.manual_seed(0)
    ours = build_attention(Word.parse("1000"), place, C, M).double()
    theirs = MultiheadAttention(
        C, M, self_attention=place != "cross", encoder_decoder_attention=place == "cross"
    ).double()
    torch.nn.init.normal_(ours.attention.v_proj.bias)
    # A bias of the query makes a key-content term, which belongs to E3; one of the key does
    # nothing at all.
    zeros = {"q_proj.bias": torch.zeros(C), "k_proj.bias": torch.zeros(C)}
    theirs.load_state_dict(ours.attention.state_dict() | zeros)
    return ours, theirs


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("case", ["encoder", "decoder", "cross", "cross, static"])
def test_1000_is_multi_head_attention(case, padded):
    place = case.split(",")[0]
    ours, theirs = pair(place)
    query = inputs(T)
    memory = inputs(S) if place == "cross" else query
    options = {
        "key_padding_mask": right_padding(len(memory)) if padded else None,
        "static_kv": "static" in case,
        "need_head_weights": True,
    }
    if place == "decoder":
        options["attn_mask"] = torch.full((T, T), -torch.inf, dtype=torch.float64).triu(1)
    results = []
    for module in (ours, theirs):
        # fairseq's shorter path gives weights averaged over heads whatever it is asked for.
        out, weights = module(query, memory, memory, **options)
        weights = weights.mean(dim=0) if weights.dim() == 4 else weights
        leaves = [
            query,
            memory,
            *(
                getattr(module, "attention", module).get_parameter(f"{name}")
                for name in (
                    "q_proj.weight",
                    "k_proj.weight",
                    "v_proj.weight",
                    "v_proj.bias",
                    "out_proj.weight",
                    "out_proj.bias",
                )
            ),
        ]
        grads = torch.autograd.grad(out.sin().sum(), leaves)
        results.append((out, weights, *grads))
    for mine, other in zip(*results, strict=True):
        assert_close(mine, other, **EXACT)


def test_weights_of_each_head_are_those_of_fairseq():
    ours, theirs = pair("cross")
    query, memory = inputs(T), inputs(S)
    options = {"static_kv": True, "need_head_weights": True}
    mine, other = (module(query, memory, memory, **options)[1] for module in (ours, theirs))
    assert mine.shape == (M, N, T, S)
    assert_close(mine, other, **EXACT)


@pytest.mark.parametrize("unfold", [True, False])
@pytest.mark.parametrize("causal", [True, False])
# 3, 7, 15 and 31 are those of the published encoders and decoders.
@pytest.mark.parametrize("taps", [1, 3, 5, 7, 15, 31])
def test_dynamic_convolution_is_that_of_fairseq(taps, causal, unfold):
    torch.manual_seed(0)
    ours = DynamicConv1d(C, M, taps, causal).double()
    before = taps - 1 if causal else taps // 2
    theirs = DynamicConv1dTBC(C, taps, before, M, weight_softmax=True).double()
    theirs.load_state_dict(ours.state_dict())
    x = inputs(40)
    mine = ours(x.transpose(0, 1)).transpose(0, 1)
    other = theirs(x, unfold=unfold)
    assert_close(mine, other, **EXACT)
    for gradient, expected in zip(
        torch.autograd.grad(mine.sin().sum(), [x, ours.weight_linear.weight]),
        torch.autograd.grad(other.sin().sum(), [x, theirs.weight_linear.weight]),
        strict=True,
    ):
        assert_close(gradient, expected, **EXACT)


def test_dynamic_convolution_longer_than_the_sentence_is_that_of_fairseq():
    # fairseq's unfolding path takes the softmax over fewer taps then, unlike its other two.
    torch.manual_seed(0)
    ours = DynamicConv1d(C, M, 2 * T + 1, causal=True).double()
    theirs = DynamicConv1dTBC(C, 2 * T + 1, 2 * T, M, weight_softmax=True).double()
    theirs.load_state_dict(ours.state_dict())
    x = inputs(T)
    assert_close(ours(x.transpose(0, 1)).transpose(0, 1), theirs(x, unfold=False), **EXACT)


def transformer(absolute: bool) -> TransformerModel:
    arguments = argparse.Namespace(
        encoder_embed_dim=32,
        encoder_ffn_embed_dim=64,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        no_token_positional_embeddings=not absolute,
    )
    tiny_architecture(arguments)
    return TransformerModel.build_model(arguments, small.Task())


@pytest.mark.parametrize("absolute", [False, True])
def test_model_of_1000_is_the_transformer(absolute):
    ours = small.model("1000", "1000", "1000", no_token_positional_embeddings=not absolute)
    theirs = transformer(absolute)
    weights = {name.replace(".attention.", "."): w for name, w in ours.state_dict().items()}
    for name, value in theirs.state_dict().items():
        if name.endswith(("q_proj.bias", "k_proj.bias")):
            weights[name] = torch.zeros_like(value)
    theirs.load_state_dict(weights)
    source = small.batch()
    target = torch.randint(4, 4 + small.WORDS, (3, 7))
    mine, other = (
        model.double().eval()(**source, prev_output_tokens=target)[0] for model in (ours, theirs)
    )
    assert_close(mine, other, **EXACT)


class Operators(TorchDispatchMode):
    """Counts the operators that are dispatched, views and allocations left out."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        aliases = [output.alias_info for output in operator._schema.returns]
        is_view = any(alias is not None and not alias.is_write for alias in aliases)
        if not is_view and "empty" not in operator.__name__:
            self.count += 1
        return operator(*args, **(kwargs or {}))


def operators_of_a_step(model: torch.nn.Module, padded: bool) -> tuple[int, int]:
    """Operators of a forward and of a backward pass in training, after a first one."""
    source, target = small.batch(), torch.randint(4, 4 + small.WORDS, (3, 7))
    if padded:
        target[1, -2:] = 1
    else:
        source["src_tokens"] = source["src_tokens"][:1]
        target = target[:1]
    model.train()
    for _ in range(2):
        model.zero_grad(set_to_none=True)
        with Operators() as forward:
            out, _ = model(**source, prev_output_tokens=target)
        loss = out.sum()
        with Operators() as backward:
            loss.backward()
    return forward.count, backward.count


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
def test_a_step_of_1000_on_a_gpu_dispatches_no_more_than_that_of_fairseq(padded, monkeypatch):
    """Each operator costs a GPU the time of a launch at least; the forms of a GPU run here."""
    monkeypatch.setattr(forms, "on_gpu", lambda device: True)
    ours = operators_of_a_step(small.model("1000", "1000", "1000"), padded)
    theirs = operators_of_a_step(transformer(absolute=False), padded)
    assert ours[0] <= theirs[0]
    assert ours[1] <= theirs[1]
    # Positions add a product, its move to the keys, and their gradients.
    everything = operators_of_a_step(small.model("1111", "1111", "1111"), padded)
    assert sum(everything) <= 1.1 * sum(theirs)
