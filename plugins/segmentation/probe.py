"""Steps of a segmentation model's training on made-up images."""

from __future__ import annotations

import torch
from mmengine.registry import DATASETS
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules

from plugins.contracts.job import Job
from plugins.contracts.probe import Probed
from plugins.openmmlab import probe as steps_of
from plugins.openmmlab.probe import MadeUp
from plugins.segmentation.config import training_config
from plugins.segmentation.data.layout import read_classes

__all__ = ["MadeUpSegments", "probe"]


@DATASETS.register_module()
class MadeUpSegments(MadeUp):
    """Noise whose pixels belong to classes at random.

    Parameters
    ----------
    shape: (int, int)
        Height and width.
    classes: int
        How many there are.
    """

    def __init__(self, shape: tuple[int, int], classes: int) -> None:
        chance = torch.Generator().manual_seed(0)
        found = SegDataSample(metainfo={"img_shape": tuple(shape), "ori_shape": tuple(shape)})
        found.gt_sem_seg = PixelData(data=torch.randint(classes, (1, *shape), generator=chance))
        image = torch.randint(256, (3, *shape), dtype=torch.uint8, generator=chance)
        super().__init__({"inputs": image, "data_samples": found})


def probe(job: Job, steps: int, outputs: int | None = None) -> Probed:
    """Measure steps on images of the size of a training crop."""
    register_all_modules(init_default_scope=True)
    classes = len(read_classes(job.data)["classes"]) if outputs is None else outputs
    dataset = {"type": "MadeUpSegments", "shape": job.recipe.crop, "classes": classes}
    return steps_of.probe(job, training_config(job, classes), dataset, steps)
