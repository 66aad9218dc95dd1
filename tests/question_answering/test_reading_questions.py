"""In which order questions come, what is in their cells, and which words and answers are known."""

from __future__ import annotations

from types import SimpleNamespace

import coloured_squares as squares
import numpy as np
import pytest
import torch

from plugins.question_answering.config import answers_of, words_of
from plugins.question_answering.data.layout import read_answers, write_questions
from plugins.question_answering.data.objects import attributes, cells_within, in_cells
from plugins.question_answering.data.rows import Question
from plugins.question_answering.data.words import known_words, numbers
from plugins.question_answering.reading import Asked, ImageByImage
from plugins.question_answering.recipe import Recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return squares.make(tmp_path_factory.mktemp("squares"))


def asked(data, split="train", answers=("no", "yes", "1", "2"), **options):
    size = (squares.SIDE, squares.SIDE)
    return Asked(str(data), split, {"classes": answers}, size, 6, **options)


class Numbered:
    """Stands for a data set of 9 images with 1 to 9 questions, in no order."""

    image_numbers = np.random.default_rng(0).permutation(np.repeat(np.arange(9), np.arange(1, 10)))

    def __len__(self):
        return len(self.image_numbers)


def sampler(rank=0, world=1, epoch=0, seed=3):
    made = ImageByImage(8, dataset=Numbered(), shuffle=True, seed=seed)
    made.rank, made.world_size = rank, world
    made.num_samples = made.total_size // world
    made.set_epoch(epoch)
    return made


def test_questions_about_an_image_follow_each_other_in_whole_batches():
    order = list(sampler())
    assert len(order) == len(sampler()) == 40  # of 45
    assert len({*order}) == 40
    images = Numbered.image_numbers[order]
    changes = np.count_nonzero(np.diff(images))
    assert changes == len({*images}) - 1


def test_the_order_is_of_seed_and_epoch_alone():
    assert list(sampler()) == list(sampler())
    assert list(sampler()) != list(sampler(epoch=1))
    assert list(sampler()) != list(sampler(seed=4))


def test_processes_share_each_batch():
    alone = np.array(list(sampler())).reshape(-1, 8)
    parts = [np.array(list(sampler(rank, 4))).reshape(-1, 2) for rank in range(4)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), alone)


def test_only_the_first_images_are_asked_about(data):
    assert len(asked(data, images=3)) == 12
    assert asked(data, images=3).paths == [f"images/train/{n}.png" for n in range(3)]


def test_cells_in_objects_by_hand():
    objects = [
        {"class": "six", "ink": "white", "box": [0, 0, 20, 10]},
        {"class": "one", "box": [31, 32, 2, 6]},  # no cell's middle is in it
    ]
    known = attributes({"image": objects})
    assert known == {"class": ("one", "six"), "ink": ("white",)}
    named = in_cells(objects, known, (40, 40), (4, 4))
    classes = [[1, 1, 2, 2], [2, 2, 2, 2], [2, 2, 2, 2], [2, 2, 2, 0]]
    assert named[0].tolist() == classes
    assert (named[1] == np.where(np.array(classes) == 1, 0, 1)).all()


def test_a_box_beyond_the_image_is_in_its_nearest_cells():
    assert cells_within([(0.9, -0.2, 1.5, 0.1)], (2, 3)).tolist() == [
        [False, False, True],
        [False, False, False],
    ]


def test_an_item_names_the_objects_where_they_are(data):
    known = asked(data, cells=(4, 4))
    colours = known.attributes["colour"]
    item = known[0]
    assert item["inputs"].shape == (3, squares.SIDE, squares.SIDE)
    inside = item["named"][0] < len(colours)
    assert inside.any()
    for row, column in inside.nonzero().tolist():
        middle = item["inputs"][:, row * 8 + 4, column * 8 + 4]
        expected = squares.COLOURS[colours[item["named"][0, row, column]]]
        assert middle.tolist() == list(expected)


def test_words_are_those_of_train_and_all_else_is_unknown(data):
    known = known_words(data)
    assert sorted(known) == ["a", "blue", "green", "how", "is", "many", "red", "square", "squares",
                             "there"]  # fmt: skip
    assert sorted(known.values()) == list(range(2, 12))
    assert numbers("Is there a ROUND square?", known, 7) == [
        *(known[word] for word in ("is", "there", "a")),
        1,
        known["square"],
        0,
        0,
    ]
    assert numbers("is there a red square", known, 2) == [known["is"], known["there"]]
    assert numbers("?!", known, 2) == [1, 0]


def test_of_the_first_images_alone_come_the_words_and_answers_too(tmp_path):
    rows = [
        Question(f"images/{n}.png", f"what {word}?", (word,), "t")
        for n, word in enumerate(("one", "two", "two", "zebra"))
    ]
    write_questions(tmp_path, {"train": rows, "val": rows})
    assert read_answers(tmp_path) == ["two", "one", "zebra"]
    assert read_answers(tmp_path, images=2) == ["one", "two"]
    assert read_answers(tmp_path, least=2, images=3) == ["two"]
    assert [*known_words(tmp_path, 1)] == ["one", "what"]
    recipe = {"network": "question_only", "visual_epochs": 0, "training_images": 2}
    job = SimpleNamespace(data=tmp_path, recipe=Recipe(**recipe))
    assert (answers_of(job), sorted(words_of(job))) == (("one", "two"), ["one", "two", "what"])
    val = Asked(str(tmp_path), "val", {"classes": ()}, None, 2, training_images=2)
    assert val.words[2].tolist() == val.words[1].tolist() == [4, 3]
    assert val.words[3].tolist() == [4, 1]  # it never learnt what a zebra is


def test_scores_are_those_of_the_metric(tmp_path):
    several = asked(squares.make(tmp_path, several=True), answers=("no", "maybe", "yes"))
    colours = list(squares.COLOURS)
    for index in range(3):
        there = colours[index] in several_colours(tmp_path, 0)
        # Eight of ten: right. Two of ten: .6.
        expected = [0.0, 0.0, 1.0] if there else [1.0, 0.6, 0.0]
        torch.testing.assert_close(several[index]["scores"], torch.tensor(expected))


def several_colours(data, image):
    from plugins.question_answering.data.objects import read_objects

    objects = read_objects(data, "train")[f"images/train/{image}.png"]
    return {each["colour"] for each in objects}
