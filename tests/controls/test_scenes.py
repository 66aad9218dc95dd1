"""Each kind of scene against its rule, told once more in words of its own."""

from __future__ import annotations

import numpy as np
import pytest

from plugins.controls.scenes import CELLS, DIRECTIONS, FAR, KINDS, NOTHING, RING, SALIENT, draw

INNER = slice(RING, RING + CELLS)
by_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def scenes(kind):
    chance = np.random.default_rng(5)
    return [draw(kind, chance) for _ in range(60)]


def objects(scene):
    """Return class and ink of each object of the cells by row and column."""
    classes, inks = scene.classes[INNER, INNER], scene.inks[INNER, INNER]
    cells = [(int(row), int(column)) for row, column in np.argwhere(classes >= 0)]
    return {cell: (int(classes[cell]), int(inks[cell])) for cell in cells}


def asked(scene):
    """Yield the cell of each question, its answer, and the cell where that stands."""
    for row, column in np.argwhere(scene.answers != NOTHING):
        place = int(scene.places[row, column])
        yield (int(row), int(column)), int(scene.answers[row, column]), divmod(place, CELLS)


@by_kind
def test_a_scene_has_each_class_twice_and_each_common_ink_five_times(scenes, kind):
    for scene in scenes:
        found = list(objects(scene).values())
        classes, inks = (np.bincount(each) for each in zip(*found, strict=True))
        assert classes.tolist() == [2] * 10
        if kind == "salient":
            assert inks[SALIENT] == 1
            assert sorted(inks[:SALIENT].tolist()) == [4, 5, 5, 5]
        else:
            assert inks.tolist() == [5] * 4


@by_kind
def test_an_answer_is_far_away(scenes, kind):
    questions = 0
    for scene in scenes:
        for (row, column), _, (there, beside) in asked(scene):
            assert max(abs(row - there), abs(column - beside)) >= FAR
            questions += 1
    assert questions > 60


@pytest.mark.parametrize("kind", ["twin"])
def test_a_twin_tells_the_ink_of_the_other_object_of_the_class(scenes, kind):
    for scene in scenes:
        there = objects(scene)
        for cell, answer, place in asked(scene):
            (other,) = [c for c in there if c != cell and there[c][0] == there[cell][0]]
            assert (place, answer) == (other, there[other][1])


@pytest.mark.parametrize("kind", ["pointer"])
def test_a_pointer_tells_the_class_that_stands_where_the_own_class_points(scenes, kind):
    assert len(set(DIRECTIONS)) == 10
    for scene in scenes:
        there = objects(scene)
        for cell, answer, place in asked(scene):
            down, right = DIRECTIONS[there[cell][0]]
            assert place == (cell[0] + down, cell[1] + right)
            assert answer == there[place][0]


@pytest.mark.parametrize("kind", ["salient"])
def test_all_others_tell_the_class_of_the_salient_object(scenes, kind):
    for scene in scenes:
        there = objects(scene)
        (salient,) = [cell for cell, (_, ink) in there.items() if ink == SALIENT]
        questions = list(asked(scene))
        found = {(answer, place) for _, answer, place in questions}
        assert found == {(there[salient][0], salient)}
        far = [c for c in there if max(abs(c[0] - salient[0]), abs(c[1] - salient[1])) >= FAR]
        assert sorted(cell for cell, _, _ in questions) == sorted(far)


@pytest.mark.parametrize("kind", ["offset"])
def test_an_offset_tells_the_class_three_cells_to_the_right(scenes, kind):
    for scene in scenes:
        there = objects(scene)
        for cell, answer, place in asked(scene):
            assert place == (cell[0], cell[1] + 3)
            assert answer == there[place][0]


def along_and_across(cell, other, side):
    """Return how far another cell lies to a side, and how far off the straight line."""
    down, right = other[0] - cell[0], other[1] - cell[1]
    return (-down, down, -right, right)[side], abs(right if side < 2 else down)


@pytest.mark.parametrize("kind", ["ally"])
def test_an_ally_alone_has_the_ink_and_stands_on_the_side_that_the_class_says(scenes, kind):
    for scene in scenes:
        there = objects(scene)
        for cell, answer, place in asked(scene):
            allies = []
            for other in there:
                along, across = along_and_across(cell, other, there[cell][0] % 4)
                if there[other][1] == there[cell][1] and along >= FAR and across <= along:
                    allies.append(other)
            assert allies == [place]
            assert answer == there[place][0]


@by_kind
def test_the_ring_is_as_full_as_the_cells(scenes, kind):
    ring = [
        (scene.classes >= 0).sum() - (scene.classes[INNER, INNER] >= 0).sum() for scene in scenes
    ]
    assert np.mean(ring) == pytest.approx(28 * 20 / 36, abs=1)
