"""Intersection over union, with all its digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmseg.evaluation.metrics import IoUMetric
from mmseg.registry import METRICS

from plugins.segmentation.items import areas_of_images

__all__ = ["ExactIoU"]


@METRICS.register_module()
class ExactIoU(IoUMetric):
    """MMSegmentation's ``IoUMetric`` as fractions, which it gives in per cent with two decimals.

    ``classes`` is the number of classes that ``mIoU`` is the mean of: a class that neither labels
    nor predictions have is left out.
    """

    items: dict[str, np.ndarray] | None = None
    """What the last value was made of, image by image."""

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Log the table of the classes; return ``aAcc``, ``mIoU``, ``mAcc`` and ``classes``.

        Raises
        ------
        ValueError
            If no pixel of the images has a class.
        """
        # In float64: in float32, sums of more than 2^24 pixels are rounded.
        of_images = [torch.stack(each).double() for each in zip(*results, strict=True)]
        areas = [each.sum(0) for each in of_images]
        labelled = areas[3]
        if not labelled.sum():
            raise ValueError(
                f"no pixel of the {len(results)} validation images has a class, so there is nothing"
                " to measure; let evaluation_images of the recipe take in more"
            )
        intersection, _, *predicted_and_labelled = (each.numpy() for each in of_images)
        self.items = areas_of_images(intersection, *predicted_and_labelled)
        super().compute_metrics(results)
        found = self.total_area_to_metrics(*areas)
        of_classes = {name: found[name][found[name] == found[name]] for name in ("IoU", "Acc")}
        return {
            "aAcc": float(found["aAcc"]),
            **{f"m{name}": float(values.mean()) for name, values in of_classes.items()},
            "classes": len(of_classes["IoU"]),
        }
