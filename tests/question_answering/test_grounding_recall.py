"""Recall@k by both protocols, against cases by hand, a loop, and MMDetection's metric."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plugins.question_answering.metrics.grounding import (
    Grounded,
    best_first,
    merged,
    overlaps,
    recall,
)

TARGET = [0, 0, 10, 10]
MISS = [20, 20, 30, 30]


def grounded(boxes, targets, *types) -> Grounded:
    return Grounded(np.array(boxes, float).reshape(-1, 4), np.array(targets, float), types)


def test_overlap_of_boxes_by_hand():
    found = overlaps(
        np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10], [3, 3, 3, 3]]),
        np.array([TARGET]),
    )
    assert found[:, 0] == pytest.approx([1, 1 / 3, 0, 0])


def test_half_is_enough_and_less_is_not():
    """Corners in pixels: one that is twice the other's size overlaps by exactly a half."""
    assert recall([grounded([[0, 0, 20, 10]], [TARGET])]).at[1] == 1
    assert recall([grounded([[0, 0, 20.01, 10]], [TARGET])]).at[1] == 0


def test_the_rank_of_the_first_hit_decides():
    phrases = [
        grounded([MISS] * before + [TARGET] + [MISS] * 3, [TARGET]) for before in (0, 1, 4, 5, 9)
    ] + [grounded([MISS] * 10 + [TARGET], [TARGET])]
    found = recall(phrases)
    assert found.at == {1: 1 / 6, 5: 3 / 6, 10: 5 / 6}
    assert found.upper_bound == 1


def test_no_ranking_beats_the_upper_bound():
    phrases = [grounded([MISS, TARGET], [TARGET]), grounded([MISS], [TARGET]), grounded([], [MISS])]
    found = recall(phrases)
    assert found.upper_bound == pytest.approx(1 / 3)
    assert found.at[10] == found.upper_bound


def test_one_of_several_boxes_or_the_box_around_all():
    two = [[0, 0, 10, 10], [10, 0, 20, 10]]
    one_of_them, around = grounded([[0, 0, 9, 10]], two), grounded([[1, 0, 20, 10]], two)
    assert recall([one_of_them]).at[1] == 1
    assert recall([merged(one_of_them)]).at[1] == 0
    assert recall([merged(around)]).at[1] == 1
    assert recall([grounded([[0, 0, 40, 10]], two)]).at[1] == 0
    assert merged(around).targets.tolist() == [[0, 0, 20, 10]]
    far = grounded([[0, 0, 10, 10]], [[0, 0, 10, 10], [50, 50, 60, 60]])
    assert (recall([far]).at[1], recall([merged(far)]).at[1]) == (1, 0)


def test_a_phrase_counts_for_each_of_its_types():
    found = recall(
        [
            grounded([TARGET], [TARGET], "people", "scene"),
            grounded([MISS, TARGET], [TARGET], "people"),
            grounded([TARGET], [TARGET], "animals"),
        ]
    )
    assert found.by_type == {
        "people": {1: 0.5, 5: 1, 10: 1},
        "scene": {1: 1, 5: 1, 10: 1},
        "animals": {1: 1, 5: 1, 10: 1},
    }


def test_candidates_are_ranked_by_their_scores():
    boxes = np.array([MISS, TARGET, [1, 1, 2, 2]])
    ranked = best_first(boxes, np.array([0.1, 0.9, 0.1]))
    assert ranked.tolist() == [TARGET, MISS, [1, 1, 2, 2]]


def test_nothing_to_find_is_refused():
    with pytest.raises(ValueError, match="at least one phrase"):
        recall([])
    with pytest.raises(ValueError, match="without a box"):
        recall([grounded([TARGET], np.zeros((0, 4)))])


def scenes(seed: int) -> list[list[Grounded]]:
    """Phrases of several images, with boxes in whole pixels as annotations have them."""
    rng = np.random.default_rng(seed)

    def boxes(number: int) -> np.ndarray:
        corners = rng.integers(0, 12, (number, 2))
        return np.concatenate([corners, corners + rng.integers(2, 14, (number, 2))], 1).astype(
            float
        )

    return [
        [Grounded(boxes(rng.integers(0, 15)), boxes(rng.integers(1, 4))) for _ in range(4)]
        for _ in range(60)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_any_box_recall_is_that_of_mmdetection(seed):
    from mmdet.evaluation.metrics import Flickr30kMetric

    images = scenes(seed)
    metric = Flickr30kMetric(topk=(1, 5, 10, -1))
    for phrases in images:
        found, named = ([getattr(p, field) for p in phrases] for field in ("boxes", "targets"))
        metric.process(
            {},
            [
                {
                    "pred_instances": {
                        "bboxes": torch.tensor(np.concatenate(found)),
                        "labels": torch.tensor(np.repeat(range(4), [len(f) for f in found])),
                    },
                    "gt_instances": {"bboxes": np.concatenate(named)},
                    "phrase_ids": np.repeat(range(4), [len(each) for each in named]),
                    "phrases": list("abcd"),
                }
            ],
        )
    theirs = metric.compute_metrics(metric.results)
    ours = recall([phrase for phrases in images for phrase in phrases])
    assert {str(k): value for k, value in ours.at.items()} == pytest.approx(
        {k: theirs[k]["all"] for k in ("1", "5", "10")}
    )
    assert ours.upper_bound == pytest.approx(theirs["-1"]["all"])
    assert 0.02 < ours.at[1] < ours.at[5] < ours.at[10] < 0.95


def test_both_protocols_are_those_of_a_plain_loop():
    """By counting the cells of a grid that both boxes cover."""

    def cells(box) -> set:
        x0, y0, x1, y1 = map(int, box)
        return {(x, y) for x in range(x0, x1) for y in range(y0, y1)}

    def finds(boxes, target) -> bool:
        wanted = cells(target)
        return any(2 * len(cells(b) & wanted) >= len(cells(b) | wanted) for b in boxes)

    phrases = [phrase for image in scenes(7) for phrase in image]
    any_box = [any(finds(p.boxes[:5], target) for target in p.targets) for p in phrases]
    around = [finds(p.boxes[:5], (*p.targets.min(0)[:2], *p.targets.max(0)[2:])) for p in phrases]
    assert recall(phrases).at[5] == pytest.approx(np.mean(any_box))
    assert recall(map(merged, phrases)).at[5] == pytest.approx(np.mean(around))
    assert np.mean(any_box) != np.mean(around)
