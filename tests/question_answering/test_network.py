"""The network of a run: what it costs, what it sees, and what it learns at which epoch."""

from __future__ import annotations

from dataclasses import replace

import coloured_squares as squares
import numpy as np
import pytest
import torch
from torch import nn

from plugins.attention.core.cost import mechanisms_of
from plugins.attention.core.standing import cost_at
from plugins.attention.core.word import Word
from plugins.question_answering.task import QuestionAnswering
from plugins.question_answering.visual import cells_of

TASK = QuestionAnswering()
BLIND = {"network": "question_only", "visual_epochs": 0}
SETS = ("0000", "0010", "1000", "1010")
WORDS = ("soft:hops=2", "hard:cells=3", "hard:pooling=pairwise", "hard:cells=3:select=random",
         "bilinear:glimpses=2", "single", "co", *SETS)  # fmt: skip


@pytest.fixture
def job(tmp_path):
    return lambda word="none", **options: squares.job(tmp_path, tmp_path / "run", word, **options)


def batch(chance, images=(0, 0, 1), lengths=(3, 6, 2)):
    """Return what the data loader gives for questions about images of noise."""
    generator = torch.Generator().manual_seed(chance)
    pixels = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8, generator=generator)
    words = torch.zeros(len(images), 6, dtype=torch.long)
    for row, length in zip(words, lengths, strict=True):
        row[:length] = torch.randint(2, 11, (length,), generator=generator)
    scores = torch.eye(5)[torch.arange(len(images)) % 5]
    return {
        "inputs": [pixels[image] for image in images],
        "image": list(images),
        "words": list(words),
        "scores": list(scores),
    }


def ready(model, given):
    """Return the batch without its scores, as the network takes it for logits."""
    made = model.data_preprocessor(given)
    return {name: made[name] for name in ("inputs", "words", "of_image")}


@pytest.mark.parametrize("word", WORDS)
def test_a_mechanism_costs_its_closed_form(word, job):
    run = job(word)
    counted = TASK.cost(run, 5)
    length, (rows, columns) = run.recipe.question_length, run.recipe.cells
    queries = 1 if word in SETS else length  # the question alone, as in soft
    site = replace(TASK.site("pool", run.recipe), queries=queries, keys=rows * columns)
    form = cost_at(Word.parse(word), site)
    assert counted.mechanism["macs"] == form.macs > 0
    assert counted.mechanism["parameters"] == form.parameters
    assert counted.input_shape == [3, 32, 32, length]


@pytest.mark.parametrize(("encoder", "gates"), [("gru", 3), ("lstm", 4)])
def test_words_cost_a_step_of_the_encoder_each(encoder, gates, job):
    run = job(encoder=encoder, **BLIND)
    counted = TASK.cost(run, 5)
    given, state, answers = run.recipe.word_channels, run.recipe.channels, 5
    step = gates * state * (given + state)
    head = state * state + state * answers
    assert counted.model["macs"] == run.recipe.question_length * step + head
    learnt = step + 2 * gates * state + head + state + answers
    assert counted.model["parameters"] == learnt + (2 + 5) * given


@pytest.mark.parametrize(
    "network", [{}, {"network": "resnet", "depth": 14}, {"network": "resnet", "stem": "small"}]
)
def test_cells_are_those_that_the_recipe_tells(network, job):
    run = job(image_size=(40, 64), stages=2, **network)
    model = squares.built(run).eval()
    (features,) = model.backbone(torch.zeros(2, 3, 40, 64))
    assert features.shape == (2, run.recipe.map_channels, *run.recipe.cells)
    assert cells_of(features, True).shape[1:] == (
        np.prod(run.recipe.cells),
        run.recipe.cell_channels,
    )


def test_a_cell_is_told_column_and_row():
    features = torch.arange(12.0).reshape(2, 1, 2, 3)
    cells = cells_of(features, coordinates=True)
    assert cells[1].tolist() == [
        [6, -1, -1], [7, 0, -1], [8, 1, -1], [9, -1, 1], [10, 0, 1], [11, 1, 1]
    ]  # fmt: skip
    assert torch.equal(cells_of(features, coordinates=False), cells[..., :1])


@pytest.mark.parametrize(
    ("network", "word"),
    [({}, "1111"), ({}, "none+deformable"), ({"network": "resnet", "depth": 14}, "cbam"),
     ({"network": "resnet", "depth": 14}, "none+deformable"), ({"network": "resnet"}, "nonlocal")],
)  # fmt: skip
def test_mechanisms_stand_in_the_stages_too(network, word, job):
    run = job(word, sites=("conv3",), stages=2, heads=4, **network)
    model = squares.built(run)
    assert mechanisms_of(model)
    assert all(name.startswith("backbone.layer2.") for name in mechanisms_of(model))
    plain = TASK.cost(job(sites=("conv3",), stages=2, heads=4, **network), 5)
    counted = TASK.cost(run, 5)
    for unit in ("macs", "parameters"):
        assert counted.model[unit] - plain.model[unit] == counted.mechanism[unit]


@pytest.mark.parametrize("word", ["none", *WORDS])
def test_neither_padding_nor_other_questions_change_an_answer(word, job):
    model = squares.built(job(word)).eval()
    given = batch(1)
    together = model(**ready(model, given))
    for index in range(3):
        alone = {name: [values[index]] for name, values in given.items()}
        torch.testing.assert_close(model(**ready(model, alone))[0], together[index])


def test_each_image_is_seen_once(job):
    model = squares.built(job())
    made = model.data_preprocessor(batch(1, images=(1, 0, 1)))
    assert made["inputs"].shape == (2, 3, 32, 32)
    assert made["of_image"].tolist() == [0, 1, 0]
    expected = model.data_preprocessor(batch(1, images=(1, 0, 0)))["inputs"]
    assert torch.equal(made["inputs"], expected)


def test_an_answer_without_an_image_is_of_the_question_alone(job):
    model = squares.built(job(**BLIND)).eval()
    one, other = batch(1), batch(1)
    other["inputs"] = [255 - image for image in other["inputs"]]
    assert torch.equal(model(**ready(model, one)), model(**ready(model, other)))


def test_the_mean_of_cells_is_soft_attention_with_equal_weights(job):
    plain, soft = squares.built(job()).eval(), squares.built(job("soft")).eval()
    nn.init.zeros_(soft.pool.hops[0].score.weight)
    missing = plain.load_state_dict(soft.state_dict(), strict=False)
    assert not missing.missing_keys
    given = ready(plain, batch(1))
    torch.testing.assert_close(plain(**given), soft(**given))
    summed = squares.built(job(pooling="sum")).eval()
    summed.load_state_dict(plain.state_dict())
    read = plain.read(**given)
    states, _, cells, *_ = read
    last = states[torch.arange(3), [2, 5, 1]]
    torch.testing.assert_close(
        summed.meet(*read) - last, cells.shape[1] * (plain.meet(*read) - last)
    )


@pytest.mark.parametrize("word", WORDS)
def test_a_module_that_shares_no_cells_gets_copies(word, job):
    model = squares.built(job(word)).eval()
    given = ready(model, batch(1))

    def found():
        read = model.read(**given)
        shown, firsts = model.looked(*read), model.by_first_glimpses(*read)
        return {"logits": model(**given), **shown, **dict(enumerate(firsts))}

    shared = found()
    sharing = [each for each in model.modules() if getattr(each, "shares_memory", False)]
    assert sharing
    for each in sharing:
        each.shares_memory = False
    torch.testing.assert_close(found(), shared)


@pytest.mark.parametrize("word", WORDS)
def test_weights_that_are_shown_are_over_all_cells(word, job):
    model = squares.built(job(word)).eval()
    with torch.no_grad():
        looked = model.looked(*model.read(**ready(model, batch(1))))
    cells, length = 16, 6
    if word.startswith("hard"):
        assert looked["mask"].sum(1).tolist() == [3 if "cells=3" in word else cells] * 3
        assert ("presence" in looked) == ("random" not in word)
    else:
        heads = 4 if word in SETS else {"soft:hops=2": 2, "bilinear:glimpses=2": 2}.get(word, 1)
        words = length if word.startswith("bilinear") else 1
        assert looked["weights"].shape == (3, heads, words, cells)
        torch.testing.assert_close(looked["weights"].sum((2, 3)), torch.ones(3, heads))
    if word == "co":
        torch.testing.assert_close(looked["words"].sum(1), torch.ones(3))


def test_the_sets_attend_from_the_question_as_soft_does(job):
    """1010 by einsum in float64: to the last word what its heads gather of the cells is added."""
    model = squares.built(job("1010")).eval()
    states, padding, cells, _, image = model.read(**ready(model, batch(1)))
    states, cells, m = states.detach().double(), cells[image].double(), model.attention.double()
    heads, width = m.heads, states.shape[2] // m.heads
    asked = states[torch.arange(3), [2, 5, 1]]
    query = torch.einsum("oc,nc->no", m.q_proj.weight, asked).unflatten(1, (heads, width))
    key, value = (
        (cells @ layer.weight.T).unflatten(2, (heads, width)) for layer in (m.k_proj, m.v_proj)
    )
    energies = torch.einsum("nmd,nsmd->nms", query + m.appr_bias.view(heads, width), key)
    weights = (energies / width**0.5).softmax(2)
    value = value + m.v_proj.bias.view(heads, width)
    mixed = torch.einsum("nms,nsmd->nmd", weights, value).flatten(1)
    expected = asked + mixed @ m.out_proj.weight.T + m.out_proj.bias
    torch.testing.assert_close(model.meet(states, padding, cells), expected)
    seen = model.looked(states, padding, cells)["weights"]
    torch.testing.assert_close(seen, weights[:, :, None])


def test_adaptive_attention_costs_what_it_keeps(job):
    model = squares.built(job("hard:cells=0:pooling=pairwise")).eval()
    with torch.no_grad():
        looked = model.looked(*model.read(**ready(model, batch(1))))
    channels, features, cells = 16, 34, 16
    before = cells * features * channels + channels**2 + cells * channels**2
    for kept, macs in zip(
        looked["mask"].sum(1).tolist(), looked["macs_kept"].tolist(), strict=True
    ):
        assert 0 < kept < cells
        assert macs == before + 3 * kept * channels**2 + 2 * kept**2 * channels


def test_the_first_glimpses_answer_alone(job):
    model = squares.built(job("bilinear:glimpses=3")).eval()
    given = ready(model, batch(1))
    with torch.no_grad():
        for glimpse in model.pool.glimpses:  # so that each changes some answer
            glimpse.out.bias.normal_(std=9)
        found = model(**given, mode="predict")
        for number in (2, 1):
            model.pool.glimpses[number].out.bias.zero_()
            model.pool.glimpses[number].out.parametrizations.weight.original0.zero_()
            answers = model(**given).argmax(1).tolist()
            assert [int(each["by_first"][number - 1]) for each in found] == answers


def at_step(model, step, steps=30):
    """Be at a step of 30 in 3 epochs."""
    model.training_step, model.training_steps = step, steps
    return model.train()


def test_boxes_teach_the_visual_network_first_and_questions_the_rest(job):
    model = squares.built(job("soft"), {"colour": 3, "ink": 2})
    given = {**batch(1), "named": list(torch.zeros(3, 2, 4, 4, dtype=torch.long))}

    def learnt(step):
        model.zero_grad()
        made = at_step(model, step).data_preprocessor(given, True)
        before = model.backbone.layer1[0].bn1.running_mean.clone()
        model(**made, mode="loss")["loss_task"].backward()
        names = {
            name.partition(".")[0] for name, each in model.named_parameters()
            if each.grad is not None
        }  # fmt: skip
        return names, not torch.equal(before, model.backbone.layer1[0].bn1.running_mean)

    assert learnt(0) == learnt(9) == ({"backbone", "names"}, True)
    # The embedding, the encoder, the mechanism, and the answers; the visual network is frozen.
    assert learnt(10) == learnt(29) == ({"embed", "encoder", "pool", "answers"}, False)
    model.frozen = False
    assert learnt(10) == ({"backbone", "embed", "encoder", "pool", "answers"}, True)


def test_the_loss_of_cells_is_a_mean_over_the_questions(job):
    model = squares.built(job(), {"colour": 3}).eval()
    features, named = torch.rand(2, 32, 4, 4), torch.randint(4, (2, 1, 4, 4))
    (layer,) = model.names
    by_image = [nn.functional.cross_entropy(layer(features[[i]]), named[[i], 0]) for i in range(2)]
    loss = model.names.loss(features, named, torch.tensor([0, 1, 1]))
    torch.testing.assert_close(loss, (by_image[0] + 2 * by_image[1]) / 3)


def test_hard_attention_learns_with_all_cells_first(job):
    run = job("hard:cells=3", epochs=3, visual_epochs=0, frozen_visual=False, all_cells_epochs=1)
    model, kept = squares.built(run), []
    model.pool.register_forward_hook(lambda module, *_: kept.append(module.cells_kept.tolist()))
    made = model.data_preprocessor(batch(1), True)
    for step in (0, 9, 10, 29):
        at_step(model, step)(**made, mode="loss")
    at_step(model, 0).eval()(made["inputs"], made["words"], made["of_image"])
    assert kept == [[16] * 3, [16] * 3, [3] * 3, [3] * 3, [3] * 3]


@pytest.mark.parametrize("loss", ["cross_entropy", "soft_scores"])
def test_losses_by_hand(loss, job):
    model = squares.built(job(loss=loss, visual_epochs=0, frozen_visual=False)).eval()
    made = model.data_preprocessor(batch(1))
    made["scores"] = torch.tensor([[0, 1, 0, 0, 0], [0.3, 0, 0.9, 0, 0], [0] * 5])
    logits = model(made["inputs"], made["words"], made["of_image"]).double()
    found = model(**made, mode="loss")["loss_task"].double()
    if loss == "cross_entropy":
        shares = logits.log_softmax(1)
        expected = -(shares[0, 1] + shares[1, 2]) / 3  # nothing is learnt of the third
    else:
        right, wrong = logits.sigmoid().log(), (-logits).sigmoid().log()
        scores = made["scores"].double()
        expected = -(scores * right + (1 - scores) * wrong).sum() / 3
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_words_are_read_in_single_precision(job):
    model = squares.built(job("bilinear"))
    made = ready(model, batch(1))
    with torch.autocast("cpu", torch.bfloat16):
        states, _, cells, *_ = model.read(**made)
        assert states.dtype == torch.float32
        assert cells.dtype == torch.bfloat16
        assert model(**made).isfinite().all()
