"""mIoU of any sample of images, from their areas, is the metric's of those images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plugins.segmentation.metric import ExactIoU
from plugins.segmentation.task import Segmentation

CLASSES = 5


def images(count: int) -> list[tuple[torch.Tensor, ...]]:
    """Results of the metric; the last class is nowhere, the one before it in the last image.

    The second image has no label.
    """
    chance = np.random.default_rng(0)
    results = []
    for number in range(count):
        truth = chance.integers(0, CLASSES - 2, (16, 12))
        wrong = chance.integers(0, CLASSES - 2, truth.shape)
        predicted = np.where(chance.random(truth.shape) < 0.6, truth, wrong)
        truth[chance.random(truth.shape) < 0.1] = 255
        if number == 1:
            truth[:] = 255
        if number == count - 1:
            predicted[:2] = CLASSES - 2
        results.append(
            ExactIoU.intersect_and_union(
                torch.from_numpy(predicted), torch.from_numpy(truth), CLASSES, 255
            )
        )
    return results


def metric() -> ExactIoU:
    made = ExactIoU()
    made.dataset_meta = {"classes": tuple("abcde")}
    return made


def test_it_is_the_metrics_of_the_repeated_images():
    results = images(9)
    whole = metric()
    value = whole.compute_metrics(results)["mIoU"]
    items = whole.items
    assert items["item"].tolist() == list(range(9))
    weights = np.random.default_rng(1).integers(0, 4, (80, 9)) * (
        np.random.default_rng(2).random((80, 9)) < 0.4
    )
    weights[0], weights[1], weights[2] = 1, 0, [0, 2, *[0] * 7]
    found = Segmentation().value_of_items(items, weights)
    assert found.dtype == np.float64
    assert found[0] == pytest.approx(value, abs=1e-12)
    left_out = 0
    for value, sample in zip(found, weights, strict=True):
        shown = [r for r, times in zip(results, sample, strict=True) for _ in range(times)]
        if not sum(each[3].sum() for each in shown):
            assert np.isnan(value)
            continue
        expected = metric().compute_metrics(shown)
        assert value == pytest.approx(expected["mIoU"], abs=1e-12)
        left_out += expected["classes"] == CLASSES - 2
    assert np.isnan(found[1:3]).all()
    assert 10 < left_out < 70


def test_areas_of_large_images_are_kept_to_the_pixel():
    area = torch.tensor([2.0**24, 3.0])
    made = ExactIoU()
    made.dataset_meta = {"classes": ("a", "b")}
    made.compute_metrics([(area, area, area, area)] * 2)
    assert made.items["labelled"].tolist() == [[2**24, 3]] * 2
    assert made.items["labelled"].dtype == np.uint32
