"""What is recorded as mIoU: of the images that were shown, of which classes, with all digits."""

from __future__ import annotations

import numpy as np
import pytest
from perfect_masks import evaluated
from test_mask_check import SHAPE, good, make

WRONG = np.full(SHAPE, 2, np.uint8)


def confusion(pairs) -> np.ndarray:
    """Pixels by true and by predicted class, counted one by one."""
    counted = np.zeros((3, 3), int)
    for truth, predicted in pairs:
        for t, p in zip(truth.ravel(), predicted.ravel(), strict=True):
            if t != 255:
                counted[t, p] += 1
    return counted


def test_it_is_the_mean_over_classes_of_intersection_over_union_with_all_digits(tmp_path):
    labels = good()
    predicted = {
        name: np.roll(np.where(label == 255, 0, label), 1) for name, label in labels["val"].items()
    }
    found = evaluated(make(tmp_path / "masks", labels), predicted)
    counted = confusion((labels["val"][name], predicted[name]) for name in predicted)
    right, truth, said = np.diag(counted), counted.sum(1), counted.sum(0)
    assert found["mIoU"] == pytest.approx((right / (truth + said - right)).mean(), abs=1e-12)
    assert found["mAcc"] == pytest.approx((right / truth).mean(), abs=1e-12)
    assert found["aAcc"] == pytest.approx(right.sum() / counted.sum(), abs=1e-12)
    assert found["mIoU"] != round(found["mIoU"], 4)


def test_images_that_are_not_shown_do_not_count(tmp_path):
    labels = good()
    folder = make(tmp_path / "masks", labels)
    first, second = sorted(labels["val"])
    predicted = {first: labels["val"][first], second: WRONG}
    assert evaluated(folder, predicted, evaluation_images=1)["mIoU"] == 1.0
    assert evaluated(folder, predicted)["mIoU"] < 1


def test_a_class_that_neither_labels_nor_predictions_have_is_left_out_and_that_is_said(tmp_path):
    labels = good()
    only = {name: np.where(label == 2, 0, label) for name, label in labels["val"].items()}
    folder = make(tmp_path / "masks", {**labels, "val": only})
    assert evaluated(folder, only) == {"aAcc": 1, "mIoU": 1, "mAcc": 1, "classes": 2}
    one = next(iter(only))
    found = evaluated(folder, {**only, one: WRONG})
    assert found["classes"] == 3


def test_images_without_a_class_are_no_measurement(tmp_path):
    labels = good()
    first = min(labels["val"])
    labels["val"][first] = np.full(SHAPE, 255, np.uint8)
    folder = make(tmp_path / "masks", labels)
    with pytest.raises(ValueError, match=r"no pixel of the 1 validation images"):
        evaluated(folder, labels["val"], evaluation_images=1)
    assert evaluated(folder, labels["val"])["mIoU"] == 1.0


def test_many_pixels_are_counted_one_by_one(tmp_path):
    """Sums of 2^24 + 1 and more are not those of float32."""
    import torch

    from plugins.segmentation.metric import ExactIoU

    metric = ExactIoU()
    metric.dataset_meta = {"classes": ("a", "b")}
    area = torch.tensor([2.0**24, 1.0])
    small = torch.tensor([1.0, 0.0])
    none = torch.zeros(2)
    # 2^24 pixels of a are right, then one at a time is wrong.
    metric.results = [(area, area, area, area)] + [(none, small, none, small)] * 1000
    assert metric.compute_metrics(metric.results)["mAcc"] == pytest.approx(
        (2**24 / (2**24 + 1000) + 1) / 2, abs=1e-12
    )
