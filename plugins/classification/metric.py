"""Accuracy of a classifier, with all its digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from torch.nn import functional as F

from plugins.classification.items import labels_of_images

__all__ = ["Accuracy"]

SEVERAL = 5
"""Of how many guesses one may be right, in the second metric of ImageNet."""


@METRICS.register_module()
class Accuracy(BaseMetric):
    """Top-1 and top-5 accuracy, the mean over the classes, and the cross-entropy in nats.

    Top-5 accuracy is left out where there are five classes or fewer, of which all would be guessed.
    """

    items: dict[str, np.ndarray] | None = None
    """What the last value was made of, image by image."""

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep label, prediction, whether it is among the best five, and loss of each image."""
        for sample in data_samples:
            logits, label = sample["logits"].float().cpu(), sample["label"].cpu()
            best = logits.topk(min(SEVERAL, len(logits))).indices
            loss = F.cross_entropy(logits, label)
            self.results.append(
                (int(label), int(best[0]), bool((best == label).any()), float(loss))
            )

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Return the metrics; a class without an image has no part in the mean of the classes."""
        labels, predicted, among, losses = map(np.array, zip(*results, strict=True))
        assert self.dataset_meta is not None
        classes = self.dataset_meta["classes"]
        self.items = labels_of_images(labels, predicted, classes)
        right = labels == predicted
        several = {f"accuracy_{SEVERAL}": float(among.mean())} if len(classes) > SEVERAL else {}
        return {
            "accuracy": float(right.mean()),
            **several,
            "mean_class_accuracy": float(
                np.mean([right[labels == label].mean() for label in np.unique(labels)])
            ),
            "cross_entropy": float(losses.mean()),
        }
