"""What a recipe of question answering refuses, and where mechanisms can stand."""

from __future__ import annotations

import pytest

from plugins.attention.core.word import Word
from plugins.question_answering.recipe import Recipe
from plugins.question_answering.task import QuestionAnswering

TASK = QuestionAnswering()
FROZEN = {
    "network": "resnet", "depth": 18, "pretrained": "torchvision://resnet18", "visual_epochs": 0
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"visual_epochs": 12}, "visual_epochs (12) must be fewer than epochs (12)"),
        ({"all_cells_epochs": 8}, "fewer than the 8 epochs on questions"),
        ({"visual_epochs": 0}, "set frozen_visual to false"),
        ({"network": "question_only"}, "nothing to learn from boxes in 4 epochs"),
        ({"depth": 50}, "depth is for network resnet"),
        ({"channels": 30}, "channels (30) must be divisible by heads (4)"),
        ({"batch_size": 10, "accumulate": 3}, "accumulate (3) must divide batch_size (10)"),
    ],
)
def test_what_makes_no_training_is_refused(given, message):
    with pytest.raises(ValueError, match="(?s)" + message.replace("(", r"\(").replace(")", r"\)")):
        Recipe(**given)


def test_fewer_questions_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="batch_size 50 or less"):
        Recipe().check_items(50)
    Recipe().check_items(120)


@pytest.mark.parametrize(
    ("word", "sites", "given", "message"),
    [
        ("1111", ("pool",), {}, "E2 and E4 need positions"),
        ("cbam", ("pool",), {}, "cbam is for maps, and 'pool' is for pairs"),
        ("soft", ("conv4",), {}, "soft is for pairs"),
        ("soft:reduction=128", ("pool",), {}, "64 is the largest"),
        ("cbam", ("conv5",), {}, "no site 'conv5' with stages 3: conv2, conv3, conv4"),
        ("soft", ("pool",), {"network": "question_only", "visual_epochs": 0}, "sees no image"),
        ("0010", ("conv4",), FROZEN, "would learn nothing at 'conv4'.*set frozen_visual to false"),
    ],
)
def test_what_cannot_stand_there_is_refused(word, sites, given, message):
    with pytest.raises(ValueError, match=message):
        TASK.check(Word.parse(word), sites, Recipe(**given))


def test_steps_are_whole_batches_of_questions(tmp_path):
    assert TASK.training_steps(Recipe(), 23959, None) == 12 * 199
    assert TASK.training_steps(Recipe(), None, None) is None
    assert TASK.training_steps(Recipe(training_images=10), 23959, None) is None


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"network": "question_only", "visual_epochs": 0, "frozen_visual": False},
        {"network": "resnet", "depth": 101, "pretrained": "torchvision://resnet101",
         "visual_epochs": 0, "channels": 512, "heads": 8, "image_size": (224, 224)},
        {"all_cells_epochs": 3, "least": 9, "loss": "soft_scores"},
    ],
)  # fmt: skip
def test_a_smoke_form_is_a_recipe_of_the_same_kind(given):
    full = Recipe(**given)
    small = TASK.smoke(full)
    for field in ("network", "depth", "loss", "encoder", "optimizer"):
        assert getattr(small, field) == getattr(full, field)
    assert bool(small.visual_epochs) == bool(full.visual_epochs)
    assert small.pretrained is None
