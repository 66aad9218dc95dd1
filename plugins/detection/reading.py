"""How a detector reads and measures a set: labels in the order of ids, AP of the images shown.

MMDetection gives labels in the order in which a file lists its categories, so that two files of one
set may label otherwise, measures a part of the images against all of them, and rounds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS
from mmengine.fileio import load

from plugins.detection.items import matches

__all__ = ["AveragePrecision", "Boxes", "ById"]


class ById(COCO):
    """An annotation file whose categories come in the order of their ids."""

    def get_cat_ids(self, *arguments: Any, **options: Any) -> list[Any]:
        """Return the ids of the categories asked for, ascending."""
        return sorted(super().get_cat_ids(*arguments, **options))


@DATASETS.register_module()
class Boxes(CocoDataset):
    """Images and boxes of an annotation file; label i is the class of the i-th smallest id."""

    COCOAPI = ById


@METRICS.register_module()
class AveragePrecision(CocoMetric):
    """COCO's average precision of the images that were shown, with all digits.

    A size of which no image has a box is left out, where pycocotools says -1.
    """

    items: dict[str, np.ndarray] | None = None
    """What the last value was made of, image by image."""

    STATS: ClassVar = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
    """The first of ``COCOeval.stats``."""

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return ``bbox_mAP`` and its kin, as fractions.

        Raises
        ------
        ValueError
            If no image that was shown has a box: there is nothing to measure then.
        """
        truth = self._coco_api
        shown = sorted({image["img_id"] for image, _ in results})
        self.cat_ids = sorted(truth.get_cat_ids(cat_names=self.dataset_meta["classes"]))
        boxes = truth.load_anns(truth.get_ann_ids(img_ids=shown, cat_ids=self.cat_ids))
        if all(box.get("iscrowd") for box in boxes):
            raise ValueError(
                f"none of the {len(shown)} images of the validation split that are looked at has a "
                "box: there is no average precision; raise evaluation_images"
            )
        with tempfile.TemporaryDirectory() as folder:
            files = self.results2json([found for _, found in results], str(Path(folder, "found")))
            found = load(files["bbox"])
        # pycocotools cannot index an empty list.
        evaluation = COCOeval(truth, truth.loadRes(found) if found else COCO(), "bbox")
        evaluation.params.catIds = self.cat_ids
        evaluation.params.imgIds = shown
        evaluation.params.maxDets = self.proposal_nums
        evaluation.params.iouThrs = np.asarray(self.iou_thrs)
        evaluation.evaluate()
        self.items = matches(evaluation)
        if not found:
            return {f"bbox_{name}": 0.0 for name in self.STATS[:3]}
        evaluation.accumulate()
        evaluation.summarize()
        values = zip(self.STATS, evaluation.stats.tolist(), strict=False)
        return {f"bbox_{name}": value for name, value in values if value >= 0}
