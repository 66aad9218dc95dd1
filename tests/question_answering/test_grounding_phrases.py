"""How a phrase is read, among which boxes it is looked for, and how each of them is scored."""

from __future__ import annotations

import coloured_squares as squares
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.nn import functional as F

from plugins.attention.core.cost import mechanisms_of
from plugins.attention.core.word import Word
from plugins.question_answering.data.candidates import candidates, windows
from plugins.question_answering.data.rows import Phrase
from plugins.question_answering.data.sentences import numbers_of_phrase, sentences, words_of
from plugins.question_answering.grounding import config
from plugins.question_answering.grounding.evaluator import Grounds
from plugins.question_answering.grounding.look import marked
from plugins.question_answering.grounding.model import within
from plugins.question_answering.metrics.grounding import Grounded, hits
from plugins.question_answering.recipe import Recipe
from plugins.question_answering.task import QuestionAnswering

TASK = QuestionAnswering()
WORDS = ("bilinear", "co", "soft", "soft:hops=2", "0010", "1000", "1010", "1010+bilinear")
BOX = ((0.0, 0.0, 4.0, 4.0),)


def phrase(text, sentence="", start=0, image="a"):
    return Phrase(image, text, BOX, ("colour",), sentence, start)


def test_a_phrase_is_read_to_its_last_word():
    hats = phrase("red hats", "Two men in red hats near a beach", 3)
    assert words_of(hats) == (["two", "men", "in", "red", "hats"], 3)
    known = {"two": 2, "men": 3, "in": 4, "red": 5}
    assert numbers_of_phrase(hats, known, 7) == (
        [2, 3, 4, 5, 1, 0, 0],
        [True, True, True, False, False, True, True],
    )
    # Of too many words the first are left out, and never the phrase's last one.
    assert numbers_of_phrase(hats, known, 3) == ([4, 5, 1], [True, False, False])
    # What has no word still has an end to be read at.
    assert numbers_of_phrase(phrase("&", "men & hats", 1), known, 3)[0] == [3, 1, 0]


def test_phrases_are_of_sentences_or_alone():
    rows = [
        phrase("men", "men in hats"),
        phrase("hats", "men in hats", 2),
        phrase("men", "men in hats", image="b"),
        phrase("men"),
        phrase("men"),
    ]
    assert sentences(rows) == [[0, 1], [2], [3], [4]]


def test_boxes_are_of_the_image_alone_and_half_of_them_near_objects():
    objects = [(10.0, 10.0, 20.0, 30.0), (60.0, 20.0, 20.0, 20.0), (40.0, 70.0, 30.0, 20.0)]
    found = candidates(objects, (100, 120), 40, "images/a.png")
    assert found.shape == (40, 4)
    assert (found == candidates(objects, (100, 120), 40, "images/a.png")).all()
    assert (found != candidates(objects, (100, 120), 40, "images/b.png")).any()
    assert (found[:, 2:] > found[:, :2]).all()
    assert found.min() >= 0
    assert (found[:, 2:] <= (120, 100)).all()
    corners = np.array(objects)
    corners[:, 2:] += corners[:, :2]
    near = sum(hits(Grounded(found, each[None])).sum() for each in corners)
    assert 12 <= near <= 22


def test_windows_cover_an_image():
    found = windows((90, 120))
    seen = np.zeros((90, 120), int)
    for left, top, right, bottom in found.round().astype(int):
        seen[top:bottom, left:right] += 1
    assert seen.min() > 0
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= (120 + 1e-6, 90 + 1e-6)).all()


def test_a_box_has_the_mean_of_what_it_covers():
    features = torch.arange(8.0).reshape(1, 1, 2, 4)
    places = torch.tensor(
        [[[0, 0, 1, 1], [0.25, 0, 0.5, 0.5], [0.125, 0.25, 0.5, 1], [0.3, 0.3, 0.3, 0.3]]]
    )
    found = within(features, places)[0, :, 0]
    # Half of the first column, all of the second; half of the first row, all of the second.
    rows, columns = torch.tensor([0.5, 1]), torch.tensor([0.5, 1])
    shares = rows[:, None] * columns
    third = (features[0, 0, :, :2] * shares).sum() / shares.sum()
    torch.testing.assert_close(found, torch.tensor([3.5, 1, float(third), 0]))


def test_boxes_are_pooled_as_roi_align_does_with_many_samples():
    from mmcv.ops import roi_align

    chance = torch.Generator().manual_seed(0)
    # Smooth, since the one interpolates and the other does not.
    features = F.interpolate(torch.rand(1, 3, 2, 2, generator=chance), (24, 24), mode="bicubic")
    places = torch.tensor([[[0.1, 0.2, 0.6, 0.9], [0.3, 0.3, 0.5, 0.55]]])
    rois = torch.cat([torch.zeros(2, 1), places[0] * 24], dim=1)
    expected = roi_align(features, rois, 1, 1.0, 16, "avg", True).flatten(1)
    torch.testing.assert_close(within(features, places)[0], expected, rtol=2e-2, atol=2e-2)


def built(tmp_path, word, **recipe):
    init_default_scope("mmengine")
    torch.manual_seed(0)
    job = squares.job(tmp_path, tmp_path / "run", word, goal="ground", boxes=6, **recipe)
    return job, MODELS.build(config.network(job, 9, {}))


def batch(chance=0, boxes=(6, 4), sides=32):
    """Two images, three sentences with one or two phrases each, as the data loader gives them."""
    made = torch.Generator().manual_seed(chance)
    pixels = torch.randint(256, (2, 3, sides, sides), dtype=torch.uint8, generator=made)
    corners = [torch.rand(n, 2, 2, generator=made).sort(dim=1).values.flatten(1) for n in boxes]
    images, lengths = (0, 0, 1), ((3, 5), (2,), (6, 4))
    words = [torch.zeros(len(each), 6, dtype=torch.long) for each in lengths]
    outside = [torch.ones(len(each), 6, dtype=torch.bool) for each in lengths]
    for number, each in enumerate(lengths):
        for row, length in enumerate(each):
            words[number][row, :length] = torch.randint(2, 11, (length,), generator=made)
            outside[number][row, length - 2 : length] = False
    right = [
        (torch.rand(len(each), boxes[image], generator=made) > 0.5).float()
        for each, image in zip(lengths, images, strict=True)
    ]
    return {
        "inputs": [pixels[image] for image in images],
        "places": [corners[image] for image in images],
        "image": list(images),
        "words": words,
        "outside": outside,
        "right": right,
    }


def ready(model, given):
    made = model.data_preprocessor(given)
    return made, made.pop("right")


@pytest.mark.parametrize("word", WORDS)
def test_scores_are_of_words_and_boxes_of_the_phrase_alone(word, tmp_path):
    _, model = built(tmp_path, word)
    model.eval()
    given = batch()
    made, _ = ready(model, dict(given))
    logits = model(**made)
    assert logits.shape == (5, 6)
    # The last sentence alone, about an image with four boxes.
    alone = {name: value[2:] for name, value in given.items()}
    made, _ = ready(model, alone)
    torch.testing.assert_close(model(**made), logits[3:, :4], rtol=1e-4, atol=1e-5)
    # Where phrases differ in a word the scores do, unless the words are not asked.
    given["words"][2] = given["words"][2].roll(1, 0)
    given["outside"][2] = given["outside"][2].roll(1, 0)
    made, _ = ready(model, given)
    other = model(**made)
    assert torch.allclose(other[:3], logits[:3])
    assert torch.allclose(other[3], logits[3], atol=1e-6) == (word == "0010")


def test_the_bilinear_form_is_that_of_the_paper(tmp_path):
    """Equation by equation, at the state of the last word, in double precision."""
    _, model = built(tmp_path, "bilinear")
    model = model.double().eval()
    made, _ = ready(model, batch())
    made = {k: v.double() if v.is_floating_point() else v for k, v in made.items()}
    logits = model(**made)
    states, _ = model.encoder(model.embed(made["words"]))
    last = torch.stack([states[i, n - 1] for i, n in enumerate((3, 5, 2, 6, 4))])
    boxes = model.boxes(made["inputs"], made["places"])[made["of_image"][made["of_sentence"]]]
    part = model.scores.weighing
    linear = lambda layer, x: x @ layer.weight.mT + layer.bias  # noqa: E731
    told, asked = linear(part.key, boxes).relu(), linear(part.query, last).relu()
    expected = torch.einsum("k,nsk,nk->ns", part.score.weight[0], told, asked)
    torch.testing.assert_close(logits, expected + model.scores.bias)


@pytest.mark.parametrize("word", ["bilinear", "soft:hops=2", "1010", "1010+co"])
def test_a_module_that_shares_no_boxes_gets_copies(word, tmp_path):
    _, model = built(tmp_path, word)
    made, _ = ready(model.eval(), batch())
    shared = model(**made)
    sharing = [each for each in model.modules() if getattr(each, "shares_memory", False)]
    assert len(sharing) == 1 + ("+" in word)
    for each in sharing:
        each.shares_memory = False
    torch.testing.assert_close(model(**made), shared)


def test_the_loss_is_a_sum_over_boxes_and_a_mean_over_sentences(tmp_path):
    _, model = built(tmp_path, "bilinear", frozen_visual=False, visual_epochs=0)
    model.eval()
    made, right = ready(model, batch())
    logits = model(**made).double()
    there = torch.ones(5, 6, dtype=torch.bool)
    there[3:, 4:] = False  # the second image has four boxes
    p, q = logits.sigmoid().log(), (-logits).sigmoid().log()
    expected = -((right * p + (1 - right) * q) * there).sum() / 3
    found = model(**made, right=right, mode="loss")["loss_task"].double()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("word", ["bilinear", "co", "1010", "1010+bilinear"])
def test_nothing_is_in_the_network_that_scores_nothing(word, tmp_path):
    _, model = built(tmp_path, word, frozen_visual=False, visual_epochs=0)
    made, right = ready(model, batch())
    model(**made, right=right, mode="loss")["loss_task"].backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []


@pytest.mark.parametrize("word", ["bilinear", "1000"])
def test_cost_is_that_of_the_energies(word, tmp_path):
    job, model = built(tmp_path, word)
    cost = TASK.cost(job, 9)
    recipe = job.recipe
    boxes, features, channels = recipe.boxes, recipe.cell_channels, recipe.channels
    if word == "bilinear":
        rank = 3 * channels
        macs = rank * (boxes * features + channels) + boxes * rank
    else:
        macs = channels * (boxes * features + channels) + boxes * channels
    assert cost.mechanism["macs"] == macs
    (module,) = mechanisms_of(model).values()
    assert cost.mechanism["parameters"] == sum(each.numel() for each in module.parameters())
    assert cost.input_shape == [3, 32, 32, recipe.question_length]


@pytest.mark.parametrize(
    ("word", "sites", "message"),
    [
        ("none", (), "nothing stands where words meet boxes"),
        ("hard", ("pool",), "hard has no weights by word and box before a softmax"),
        ("single", ("pool",), "so does bilinear where one word is read"),
        ("0000", ("pool",), "0000 weighs all alike"),
        ("bilinear:glimpses=2", ("pool",), "the map of one glimpse is read"),
        ("bilinear:joint=sum", ("pool",), "the map of one glimpse is read"),
        ("cbam", ("conv2",), "nothing stands where words meet boxes"),
        ("1010", ("conv2",), "'pool', which is not among the sites: conv2"),
    ],
)
def test_what_weighs_no_boxes_is_refused_when_a_grid_is_planned(word, sites, message):
    with pytest.raises(ValueError, match=message):
        TASK.check(Word.parse(word), sites, Recipe(goal="ground"))


@pytest.mark.parametrize("word", WORDS)
def test_what_weighs_them_is_not(word):
    TASK.check(Word.parse(word), ("pool",), Recipe(goal="ground"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"goal": "ground", "least": 9}, "least is for goal answer, and the goal is ground"),
        ({"boxes": 9}, "boxes is for goal ground, and the goal is answer"),
        ({"feature_channels": 9}, "the goal is answer; or for network features"),
        ({"network": "features"}, "has nothing to learn from boxes in 4 epochs"),
        ({"goal": "ground", "network": "features"}, "has nothing to learn from boxes in 4 epochs"),
        (
            {"goal": "ground", "network": "question_only", "visual_epochs": 0},
            "goal ground finds no box",
        ),
    ],
)
def test_what_makes_no_training_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**given)


def test_a_network_of_features_has_no_stages():
    recipe = Recipe(goal="ground", network="features", visual_epochs=0)
    with pytest.raises(ValueError, match="no map to attend to at 'conv2'"):
        TASK.site("conv2", recipe)


def test_metrics_by_hand(tmp_path):
    data = squares.make(tmp_path)
    metric = Grounds(str(data), "val", images=2)
    assert len(metric.phrases) == 3
    targets = [np.array(each.boxes[0], float) for each in metric.phrases]
    ours = np.stack(targets)
    ours[:, 2:] += ours[:, :2]
    nowhere = np.array([[0, 0, 1, 1]] * 5)
    # One image has one square, the other has two, of which the second is not among the boxes.
    first = torch.from_numpy(np.concatenate([ours[:1], nowhere]))
    second = torch.from_numpy(np.concatenate([nowhere, ours[1:2]]))
    best = [torch.tensor([[1.0, 0, 0, 0, 0, 0]]), torch.tensor([[5.0, 4, 3, 2, 1, 0]] * 2)]
    samples = [
        {"boxes": second, "scores": best[1], "number": torch.tensor([1, 2])},
        {"boxes": first, "scores": best[0], "number": torch.tensor([0])},
    ]
    metric.process(None, samples)
    values = metric.compute_metrics(metric.results)
    assert values["accuracy"] == values["recall_1"] == values["recall_5"] == pytest.approx(1 / 3)
    assert values["recall_10"] == values["merged_10"] == pytest.approx(2 / 3)
    assert values["upper_bound"] == values["merged_upper_bound"] == pytest.approx(2 / 3)
    assert values["chance"] == pytest.approx(2 / 18)
    kind = metric.phrases[1].types[0]
    assert values[f"recall_10_{kind}"] >= 0.5
    assert metric.items["rank"].tolist() == [1, 6, 0]
    whole = TASK.value_of_items(metric.items, np.array([[1, 1, 1], [2, 0, 1]]))
    np.testing.assert_allclose(whole, [1 / 3, 2 / 3])


def test_phrases_in_brackets_are_marked():
    six, two = marked("is [the red six] left of [the two]?")
    assert (six.phrase, six.start, two.phrase, two.start) == ("the red six", 1, "the two", 6)
    assert six.sentence == "is the red six left of the two?"
    assert [each.phrase for each in marked("the six")] == ["the six"]
    with pytest.raises(ValueError, match="no partner"):
        marked("[the six")


def test_a_frozen_network_is_left_alone_and_learns_names_in_its_epochs(tmp_path):
    job, _ = built(tmp_path, "bilinear")
    init_default_scope("mmengine")
    model = MODELS.build(config.network(job, 9, {"colour": 3}))
    model.train()
    model.training_steps = 30
    made, right = ready(model, batch())
    named = torch.zeros(2, 1, *job.recipe.cells, dtype=torch.long)
    for step, learns in ((0, True), (9, True), (10, False), (29, False)):
        model.training_step = step
        model.zero_grad()
        model.train()
        model(**made, right=right, named=named, mode="loss")["loss_task"].backward()
        grads = {n.partition(".")[0] for n, p in model.named_parameters() if p.grad is not None}
        assert grads == ({"backbone", "names"} if learns else {"embed", "encoder", "scores"})
        normal = next(each for each in model.modules() if isinstance(each, nn.BatchNorm2d))
        assert normal.training == learns
