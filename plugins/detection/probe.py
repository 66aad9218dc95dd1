"""Steps of a detector's training on made-up images."""

from __future__ import annotations

import torch
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.registry import DATASETS
from mmengine.structures import InstanceData

from plugins.contracts.job import Job
from plugins.contracts.probe import Probed
from plugins.detection.config import class_names, training_config
from plugins.openmmlab import probe as steps_of
from plugins.openmmlab.probe import MadeUp

__all__ = ["MadeUpBoxes", "probe"]

BOXES = 7
"""Objects of an image; COCO's train2017 has 860,001 on 117,266 images."""


@DATASETS.register_module()
class MadeUpBoxes(MadeUp):
    """Noise with boxes.

    Parameters
    ----------
    shape: (int, int)
        Height and width.
    classes: int
        How many there are.
    """

    def __init__(self, shape: tuple[int, int], classes: int) -> None:
        height, width = shape
        chance = torch.Generator().manual_seed(0)
        # Sides from a tenth to a half of the image's.
        parts = torch.rand(BOXES, 4, generator=chance)
        size = torch.tensor([width, height])
        corners = parts[:, :2] / 2 * size
        sides = (0.1 + 0.4 * parts[:, 2:]) * size
        labels = torch.randint(classes, (BOXES,), generator=chance)
        meta = {"img_shape": (height, width), "ori_shape": (height, width), "pad_shape": None}
        found = DetDataSample(metainfo=meta | {"scale_factor": (1.0, 1.0)})
        found.gt_instances = InstanceData(
            bboxes=torch.cat([corners, corners + sides], dim=1), labels=labels
        )
        found.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
        image = torch.randint(256, (3, height, width), dtype=torch.uint8, generator=chance)
        super().__init__({"inputs": image, "data_samples": found})


def probe(job: Job, steps: int, outputs: int | None = None) -> Probed:
    """Measure steps on images of the recipe's largest size."""
    register_all_modules(init_default_scope=True)
    classes = len(class_names(job.data)) if outputs is None else outputs
    width, height = job.recipe.image_scale
    dataset = {"type": "MadeUpBoxes", "shape": (height, width), "classes": classes}
    return steps_of.probe(job, training_config(job, classes), dataset, steps)
