"""Decoding step by step finds what computing everything anew finds."""

from __future__ import annotations

import pytest
import small_translation as small
import torch
from fairseq.sequence_generator import SequenceGenerator
from torch.testing import assert_close

from plugins.attention.core.cost import count
from plugins.attention.core.word import TERM_SETS

SELF = [
    *TERM_SETS,
    *("none", "dynamic", "dynamic@1", "dynamic@4", "0000@1", "0110@2", "1111@3"),
    *("none+deformable", "0010+deformable", "1111+deformable", "dynamic+deformable"),
    "0101@2+deformable",
]


def hypotheses(model, incremental: bool, **search):
    generator = SequenceGenerator(
        [model], model.decoder.dictionary, **{"beam_size": 3, "max_len": 12, **search}
    )
    generator.model.has_incremental = incremental
    return generator.generate([model], {"net_input": small.batch()})


def assert_same(model, **search):
    found, expected = (hypotheses(model, incremental, **search) for incremental in (True, False))
    for sentence, wanted in zip(found, expected, strict=True):
        assert len(sentence) == len(wanted)
        for one, other in zip(sentence, wanted, strict=True):
            assert one["tokens"].tolist() == other["tokens"].tolist()
            assert_close(one["positional_scores"], other["positional_scores"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("word", SELF)
def test_beam_search_with_state_finds_the_same_at_decoder(word):
    assert_same(small.model(decoder=word))


@pytest.mark.parametrize("word", TERM_SETS)
def test_beam_search_with_state_finds_the_same_at_cross(word):
    assert_same(small.model(cross=word))


def test_beams_are_reordered_in_these_searches():
    model = small.model(decoder="dynamic", cross="0010")
    orders = []
    reorder = type(model.decoder).reorder_incremental_state_scripting

    def spy(state, order):
        orders.append(order.tolist())
        reorder(model.decoder, state, order)

    model.decoder.reorder_incremental_state_scripting = spy
    hypotheses(model, True)
    assert any(order != list(range(len(order))) for order in orders)
    # Sentences that are done leave the batch.
    assert len({len(order) for order in orders}) > 1


@pytest.mark.parametrize("word", ["1111", "dynamic@2", "0111+deformable", "0110@2"])
def test_several_steps_at_once_continue_the_state(word):
    model = small.model(decoder=word)
    encoded = model.encoder(**small.batch())
    target = torch.randint(4, 4 + small.WORDS, (3, 6))
    whole, _ = model.decoder(target, encoder_out=encoded)
    for layer in model.decoder.layers:
        state: dict = {}
        x = torch.randn(6, 3, 32)
        future = torch.full((6, 6), -torch.inf).triu(1)
        expected, _ = layer.self_attn(x, x, x, attn_mask=future)
        parts = [
            layer.self_attn(x[a:b], x[a:b], x[a:b], incremental_state=state)[0]
            for a, b in ((0, 2), (2, 5), (5, 6))
        ]
        assert_close(torch.cat(parts), expected, rtol=0, atol=1e-4)
    assert whole.isfinite().all()


@pytest.mark.parametrize("word", ["1111", "0010", "dynamic@2", "0111+deformable"])
def test_padding_among_the_steps_is_remembered(word):
    unit = small.model(decoder=word).decoder.layers[0].self_attn
    x = torch.randn(5, 3, 32)
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[1, 2] = padding[2, 3] = True
    future = torch.full((5, 5), -torch.inf).triu(1)
    expected, _ = unit(x, x, x, key_padding_mask=padding, attn_mask=future)
    state: dict = {}
    for step in range(5):
        now = padding[:, step : step + 1]
        out, _ = unit(
            *[x[step : step + 1]] * 3,
            key_padding_mask=now if now.any() else None,
            incremental_state=state,
        )
        assert_close(out[0], expected[step], rtol=0, atol=1e-4)


def test_source_is_projected_once():
    model = small.model(cross="0111")
    attention = model.decoder.layers[0].encoder_attn.attention
    calls = []
    attention.v_proj.register_forward_hook(lambda *_: calls.append(1))
    hypotheses(model, True)
    assert len(calls) == 1


@pytest.mark.parametrize("word", ["0100", "0111", "1010", "0101@2", "dynamic", "0111+deformable"])
def test_padding_of_the_source_changes_nothing(word):
    cross = word if word.isdigit() else "0111"
    model = small.model(encoder=word, cross=cross)
    source, target = small.batch(), torch.randint(4, 4 + small.WORDS, (3, 5))
    together, _ = model(**source, prev_output_tokens=target)
    assert together.isfinite().all()
    for i, length in enumerate(source["src_lengths"].tolist()):
        alone, _ = model(
            source["src_tokens"][i : i + 1, :length],
            source["src_lengths"][i : i + 1],
            target[i : i + 1],
        )
        assert_close(together[i], alone[0], rtol=0, atol=1e-4)


STEPS = (16, 32, 64, 128)


def step_macs(unit, memory=None):
    """Multiply-adds of the step at each of `STEPS`, that step's input being the newest token."""
    state: dict = {}
    found = {}
    for step in range(1, max(STEPS) + 1):
        x = torch.randn(1, 2, 32)
        attended = x if memory is None else memory
        options = {"incremental_state": state, "need_weights": False, "static_kv": True}
        with torch.no_grad():
            if step in STEPS:
                made = count(unit, lambda: unit(x, attended, attended, **options), [1])  # noqa: B023
                found[step] = made.model["executed_macs"]
            else:
                unit(x, attended, attended, **options)
    return found


@pytest.mark.parametrize("word", SELF)
def test_cost_of_a_step_grows_no_faster_than_the_sentence(word):
    unit = small.model(decoder=word).decoder.layers[0].self_attn
    macs = step_macs(unit)
    for step in STEPS[1:]:
        assert macs[step] <= 2 * macs[step // 2]
    # What grows is one product for each key and term, not a projection: 3 of 32 features here.
    growth = (macs[128] - macs[64]) / 64
    assert growth <= 2 * 3 * 32


@pytest.mark.parametrize("word", TERM_SETS)
def test_cost_of_a_step_stays_at_cross(word):
    unit = small.model(cross=word).decoder.layers[0].encoder_attn
    macs = step_macs(unit, torch.randn(20, 2, 32))
    assert len(set(macs.values())) == 1


@pytest.mark.parametrize("word", ["1111", "0010", "0011", "0101@2", "0110+deformable"])
def test_result_is_the_same_whether_weights_are_needed_or_not(word):
    model = small.model(encoder=word, decoder=word)
    x, padding = torch.randn(7, 3, 32), torch.arange(7) >= torch.tensor([[7], [5], [2]])
    for unit in (model.encoder.layers[0].self_attn, model.decoder.layers[0].self_attn):
        (one, weights), (other, none) = (
            unit(x, x, x, key_padding_mask=padding, need_weights=needed) for needed in (True, False)
        )
        assert weights.shape == (3, 7, 7)
        assert none is None
        assert_close(one, other, rtol=0, atol=1e-4)
