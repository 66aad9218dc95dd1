"""Steps of a classifier's training on made-up images."""

from __future__ import annotations

import torch
from mmengine.registry import DATASETS
from mmengine.structures import BaseDataElement

from plugins.classification.config import class_names, training_config
from plugins.contracts.job import Job
from plugins.contracts.probe import Probed
from plugins.openmmlab import probe as steps_of
from plugins.openmmlab.probe import MadeUp

__all__ = ["MadeUpImages", "probe"]


@DATASETS.register_module()
class MadeUpImages(MadeUp):
    """Noise that belongs to the first class.

    Parameters
    ----------
    shape: (int, int)
        Height and width.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        chance = torch.Generator().manual_seed(0)
        image = torch.randint(256, (3, *shape), dtype=torch.uint8, generator=chance)
        sample = BaseDataElement(label=torch.tensor(0))
        super().__init__({"inputs": image, "data_samples": sample})


def probe(job: Job, steps: int, outputs: int | None = None) -> Probed:
    """Measure steps on images of the size of a training crop."""
    classes = len(class_names(job)) if outputs is None else outputs
    dataset = {"type": "MadeUpImages", "shape": job.recipe.crop}
    return steps_of.probe(job, training_config(job, classes), dataset, steps)
