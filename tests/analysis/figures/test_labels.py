"""Label placement, as geometry: no overlap where there is room, and always the same answer."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from analysis.figures.drawing.boxes import Box, intersect
from analysis.figures.drawing.labels import LEADER, arrange

FRAME = Box(0, 0, 400, 300)
MARKER = 6


def crowd(n, spread, seed):
    chance = random.Random(seed)
    anchors = [(chance.gauss(200, spread), chance.gauss(150, spread)) for _ in range(n)]
    sizes = [(chance.uniform(18, 60), 8.0) for _ in range(n)]
    return anchors, sizes


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spread", [1, 15, 40])
def test_labels_cover_neither_each_other_nor_points_nor_the_frame(spread, seed):
    anchors, sizes = crowd(20, spread, seed)
    boxes = [spot.box for spot in arrange(anchors, sizes, MARKER, FRAME)]
    points = [Box(x, y, x, y).grown(MARKER / 2) for x, y in anchors]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.overlaps(point) for box in boxes for point in points)
    assert all(FRAME.contains(box) for box in boxes)
    for box, (width, height) in zip(boxes, sizes, strict=True):
        assert (box.x1 - box.x0, box.y1 - box.y0) == pytest.approx((width, height))


def test_a_lonely_label_stands_right_beside_its_point_without_a_leader():
    (spot,) = arrange([(100, 100)], [(30, 8)], MARKER, FRAME)
    assert spot.leader is None
    assert spot.box.x0 > 100 + MARKER / 2
    assert spot.box.y0 + spot.box.y1 == pytest.approx(200)


def test_at_the_right_edge_a_label_stands_to_the_left():
    (spot,) = arrange([(395, 100)], [(30, 8)], MARKER, FRAME)
    assert spot.box.x1 < 395 - MARKER / 2


def test_a_far_label_is_tied_to_its_point_and_a_near_one_is_not():
    anchors, sizes = crowd(20, 10, 0)
    for (x, y), spot in zip(anchors, arrange(anchors, sizes, MARKER, FRAME), strict=True):
        assert (spot.leader is not None) == (spot.distance >= LEADER)
        if spot.leader is not None:
            start, end = spot.leader
            assert math.dist(start, (x, y)) == pytest.approx(MARKER / 2)
            assert spot.box.grown(2).overlaps(Box(*end, *end).grown(0.01))


def test_what_is_to_be_kept_clear_moves_a_label():
    wall = Box(104, 50, 140, 150)
    (spot,) = arrange([(100, 100)], [(30, 8)], MARKER, FRAME, [wall])
    assert not spot.box.overlaps(wall)


def test_a_frame_too_small_for_its_labels_is_no_error():
    anchors = [(5.0, 5.0)] * 4
    assert len(arrange(anchors, [(8, 8)] * 4, MARKER, Box(0, 0, 20, 20))) == 4
    assert len(arrange(anchors, [(80, 8)] * 4, MARKER, Box(0, 0, 20, 20))) == 4


def test_the_same_points_get_the_same_places():
    anchors, sizes = crowd(20, 10, 3)
    assert arrange(anchors, sizes, MARKER, FRAME) == arrange(anchors, sizes, MARKER, FRAME)


@pytest.mark.parametrize("seed", range(20))
def test_a_segment_crosses_a_box_exactly_when_one_of_many_points_on_it_lies_inside(seed):
    chance = random.Random(seed)
    box = Box(3, 3, 7, 6)
    (a, b), (c, d) = [(chance.uniform(0, 10), chance.uniform(0, 10)) for _ in range(2)]
    steps = [n / 20_000 for n in range(20_001)]
    inside = any(3 <= a + t * (c - a) <= 7 and 3 <= b + t * (d - b) <= 6 for t in steps)
    assert box.crossed_by(((a, b), (c, d))) == inside


def test_segments_intersect_only_within_both():
    assert intersect(((0, 0), (2, 2)), ((0, 2), (2, 0)))
    assert not intersect(((0, 0), (2, 2)), ((0, 2), (0.5, 1.5)))
    assert not intersect(((0, 0), (2, 2)), ((0, 1), (2, 3)))
