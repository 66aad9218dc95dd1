"""What the network of a control can see, with and without a mechanism."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS

import plugins.controls.model  # noqa: F401  it registers itself
from plugins.controls.drawing import CELL, SIDE
from plugins.controls.metric import Answered
from plugins.controls.recipe import Recipe
from plugins.controls.scenes import CELLS, NOTHING
from plugins.controls.stem import FEATURES, Stem

GRID = SIDE // CELL


def network(word, outputs=10):
    torch.manual_seed(0)
    made = MODELS.build(
        {
            "type": "ControlNetwork",
            "outputs": outputs,
            "channels": 32,
            "heads": 4,
            "kv_stride": 1,
            "word": word,
            "at_cells": True,
        }
    )
    made.init_weights()
    # A fresh convolution looks at one cell: let it work.
    torch.nn.init.normal_(made.convolution.weight, std=0.1)
    return made.double()


def seen_by(made, row, column):
    """Return the cells, of all with their ring, on which the answer of one cell depends."""
    features = torch.rand(1, FEATURES, GRID, GRID, dtype=torch.float64, requires_grad=True)
    made(features)[0, :, row, column].sum().backward()
    return features.grad[0].abs().sum(0) > 0


def test_without_a_mechanism_an_answer_sees_three_by_three_cells():
    seen = seen_by(network("none"), 2, 3)
    expected = torch.zeros(GRID, GRID, dtype=torch.bool)
    expected[2:5, 3:6] = True
    assert torch.equal(seen, expected)


@pytest.mark.parametrize("word", ["0000", "0010", "1111"])
def test_with_attention_it_sees_all_cells(word):
    assert seen_by(network(word), 2, 3).all()


@pytest.mark.parametrize("word", ["1000", "dynamic@3"])
def test_the_gate_of_a_mechanism_is_open_from_the_start(word):
    assert network(word).block.gamma.item() == 1


@pytest.mark.parametrize("word", ["none", "1000", "none+deformable"])
def test_the_convolution_learns_where_a_mechanism_has_taken_its_place_alone(word):
    assert network(word).convolution.weight.requires_grad == word.endswith("deformable")


def test_without_a_mechanism_all_is_linear():
    made = network("none")
    one, other = torch.rand(2, 1, FEATURES, GRID, GRID, dtype=torch.float64)
    of_nothing = made(torch.zeros_like(one))
    torch.testing.assert_close(made(one + other), made(one) + made(other) - of_nothing)


def test_the_stem_sees_one_cell():
    stem = Stem().double()
    scene = torch.rand(1, 3, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    stem(scene)[0, :, 4, 2].square().sum().backward()
    seen = scene.grad[0].abs().sum(0) > 0
    assert seen[4 * CELL : 5 * CELL, 2 * CELL : 3 * CELL].float().mean() > 0.9
    seen[4 * CELL : 5 * CELL, 2 * CELL : 3 * CELL] = False
    assert not seen.any()


def test_accuracy_pointing_and_weight_of_a_case_by_hand():
    answers = torch.full((CELLS, CELLS), NOTHING)
    places = answers.clone()
    answers[0, 0], places[0, 0] = 1, 35
    answers[0, 1], places[0, 1] = 0, 34
    logits = torch.zeros(2, CELLS, CELLS)
    logits[1, 0, 0] = 1  # right
    logits[1, 0, 1] = 1  # wrong
    weights = torch.zeros(2, CELLS**2, CELLS**2)
    # Head 1 looks at itself first, and at the answer next; head 2 elsewhere.
    weights[0, 0, 0], weights[0, 0, 35] = 0.75, 0.25
    weights[0, 1, 34] = 1.0
    weights[1, 0, 7] = weights[1, 1, 7] = 1.0
    metric = Answered()
    metric.process(
        None, [{"logits": logits, "answers": answers, "places": places, "weights": weights}]
    )
    found = metric.compute_metrics(metric.results)
    assert found == {"accuracy": 0.5, "pointing": 1.0, "weight": 0.625}
    assert {name: value.tolist() for name, value in metric.items.items()} == {
        "item": [0], "asked": [2], "right": [1]
    }  # fmt: skip


def test_of_cells_that_are_weighed_alike_pointing_counts_the_part():
    answers, places = torch.full((2, CELLS, CELLS), NOTHING)
    answers[0, 0], places[0, 0] = 1, 35
    logits = torch.zeros(2, CELLS, CELLS)
    weights = torch.full((1, CELLS**2, CELLS**2), 1 / CELLS**2)
    metric = Answered()
    metric.process(
        None, [{"logits": logits, "answers": answers, "places": places, "weights": weights}]
    )
    found = metric.compute_metrics(metric.results)
    assert found["pointing"] == pytest.approx(1 / (CELLS**2 - 1))


def test_deformable_convolution_replaces_the_convolution_without_padding():
    made = network("none+deformable")
    features = torch.rand(2, FEATURES, GRID, GRID, dtype=torch.float64)
    # Its offsets start at 0, where it is the convolution.
    plain = torch.nn.functional.conv2d(
        torch.nn.functional.conv2d(features, made.rotation), made.convolution.weight
    )
    torch.testing.assert_close(made.attending(features), plain)
    assert made(features).shape == (2, 10, CELLS, CELLS)
    assert np.isfinite(made(features).detach().numpy()).all()


def test_a_control_is_evaluated_once_unless_told_otherwise():
    assert Recipe(epochs=16).train_cfg["val_interval"] == 16
    assert Recipe(epochs=16, evaluation_interval=4).train_cfg["val_interval"] == 4
