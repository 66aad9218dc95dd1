"""Cost of a translation run, against arithmetic by hand."""

from __future__ import annotations

import pytest
import small_translation as small
import torch

from plugins.translation import train

C, LAYERS, T = 16, 2, train.COST_TOKENS
SIZE = {"width": C, "ffn_width": 24, "encoder_layers": 1, "decoder_layers": LAYERS, "heads": 4}


def cost(numbers, tmp_path, word, sites, **recipe):
    return train.cost(small.job(tmp_path, numbers, word, sites, **{**SIZE, **recipe}))


def test_cross_attention_of_1000(numbers, tmp_path):
    counted = cost(numbers, tmp_path, "1000", ("cross",))
    projections, products = 4 * T * C * C, 2 * T * T * C
    assert counted.mechanism["macs"] == LAYERS * (projections + products)
    assert counted.mechanism["parameters"] == LAYERS * (4 * C * C + 2 * C)
    assert counted.input_shape == [T, T]


def test_whole_model_of_1000(numbers, tmp_path):
    counted = cost(numbers, tmp_path, "1000", ("self",), elsewhere="1000")
    attention, ffn = 4 * T * C * C + 2 * T * T * C, 2 * T * C * 24
    words = len((numbers / "bin" / "dict.en.txt").read_text().splitlines()) + 4
    layers = (attention + ffn) + LAYERS * (2 * attention + ffn)
    assert counted.model["macs"] == layers + T * C * words
    assert counted.mechanism["macs"] == (1 + LAYERS) * attention


@pytest.mark.parametrize("sites", [("self",), ("encoder",)])
def test_none_costs_nothing(numbers, tmp_path, sites):
    counted = cost(numbers, tmp_path, "none", sites)
    assert counted.mechanism == {"macs": 0, "executed_macs": 0, "parameters": 0}


def test_framed_convolution_counts_with_its_frame(numbers, tmp_path):
    counted = cost(numbers, tmp_path, "dynamic", ("encoder",))
    frame, kernels = C * 2 * C + C * C, C * 4 * 3
    assert counted.mechanism["macs"] == T * (frame + kernels + C * 3)
    assert counted.mechanism["parameters"] == frame + 3 * C + kernels


def test_deformable_unit_counts_too(numbers, tmp_path):
    alone = cost(numbers, tmp_path, "none+deformable", ("encoder",)).mechanism
    assert alone["macs"] == T * (C * C * 3 + C * 3)
    attention = cost(numbers, tmp_path, "0010", ("encoder",)).mechanism
    both = cost(numbers, tmp_path, "0010+deformable", ("encoder",)).mechanism
    assert both["macs"] == alone["macs"] + attention["macs"]


def test_counting_changes_no_random_state_and_leaves_logging(numbers, tmp_path):
    import logging

    before = logging.getLogger().handlers[:], logging.getLogger().level
    cost(numbers, tmp_path, "0111", ("self",))
    first = torch.get_rng_state()
    cost(numbers, tmp_path, "0111", ("self",))
    assert torch.equal(first, torch.get_rng_state())
    assert before == (logging.getLogger().handlers, logging.getLogger().level)
