"""The metrics are scikit-learn's, with all their digits, and their items give any sample's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    log_loss,
    top_k_accuracy_score,
)

from plugins.classification.metric import Accuracy
from plugins.classification.task import Classification

IMAGES = 60


def evaluated(classes: int, missing: int | None = None):
    """The metric of random logits: metric, values, labels and logits."""
    chance = np.random.default_rng(classes)
    labels = chance.integers(0, classes, IMAGES)
    if missing is not None:
        labels[labels == missing] = (missing + 1) % classes
    logits = chance.normal(size=(IMAGES, classes))
    logits[np.arange(IMAGES), labels] += 1
    metric = Accuracy()
    metric.dataset_meta = {"classes": tuple(f"class {n}" for n in range(classes))}
    samples = [
        {"logits": torch.tensor(row), "label": torch.tensor(label)}
        for row, label in zip(logits, labels, strict=True)
    ]
    metric.process(None, samples[:40])
    metric.process(None, samples[40:])
    return metric, metric.compute_metrics(metric.results), labels, logits


@pytest.mark.parametrize("classes", [2, 5, 6, 300])
def test_they_are_scikit_learns(classes):
    _, found, labels, logits = evaluated(classes)
    predicted, known = logits.argmax(1), np.arange(classes)
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = {
        "accuracy": accuracy_score(labels, predicted),
        "mean_class_accuracy": balanced_accuracy_score(labels, predicted),
        "cross_entropy": log_loss(labels, scores, labels=known),
    }
    if classes > 5:
        expected["accuracy_5"] = top_k_accuracy_score(labels, logits, k=5, labels=known)
    assert found == {name: pytest.approx(value, abs=1e-6) for name, value in expected.items()}
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-15)
    assert found.keys() <= {metric.name for metric in Classification.metrics}


def test_a_class_without_an_image_has_no_part_in_the_mean_of_the_classes():
    _, found, labels, logits = evaluated(6, missing=2)
    right = labels == logits.argmax(1)
    means = [right[labels == label].mean() for label in (0, 1, 3, 4, 5)]
    assert found["mean_class_accuracy"] == pytest.approx(np.mean(means))


@pytest.mark.parametrize("classes", [6, 300])
def test_accuracy_of_a_sample_is_the_metrics_of_the_repeated_images(classes):
    metric, found, labels, logits = evaluated(classes)
    chance = np.random.default_rng(1)
    weights = chance.integers(0, 4, (50, IMAGES)) * (chance.random((50, IMAGES)) < 0.4)
    weights[0], weights[1] = 1, 0
    values = Classification().value_of_items(metric.items, weights)
    assert values.dtype == np.float64
    assert values[0] == found["accuracy"]
    assert np.isnan(values[1])
    for value, times in zip(values[2:], weights[2:], strict=True):
        repeated = np.repeat(labels == logits.argmax(1), times)
        assert value == pytest.approx(repeated.mean(), abs=1e-12)


def test_the_confusion_matrix_is_scikit_learns_and_has_the_names():
    metric, _, labels, logits = evaluated(300)
    found = Classification().confusion(metric.items)
    assert found.classes == metric.dataset_meta["classes"]
    expected = confusion_matrix(labels, logits.argmax(1), labels=np.arange(300))
    assert (found.counts == expected).all()
