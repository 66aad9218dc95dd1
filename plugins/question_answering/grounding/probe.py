"""Steps of a training on made-up phrases."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import DATASETS
from torch import Tensor

from plugins.contracts.job import Job
from plugins.contracts.probe import Probed
from plugins.openmmlab import probe as steps_of
from plugins.openmmlab.probe import MadeUp
from plugins.question_answering.data.words import FIRST
from plugins.question_answering.grounding.config import training_config, words_of

__all__ = ["MadeUpPhrases", "boxes_anywhere", "noise", "probe"]

OF_AN_IMAGE = 5
"""Sentences about an image, as in Flickr30k; of digit scenes there are 4."""


def noise(shape: tuple[int, int], features: bool, chance: torch.Generator) -> Tensor:
    """Return an image of height and width, or features of so many boxes and so wide."""
    if features:
        return torch.rand(shape, generator=chance)
    return torch.randint(256, (3, *shape), dtype=torch.uint8, generator=chance)


def boxes_anywhere(number: int, chance: torch.Generator) -> Tensor:
    """Return boxes, (number, 4), as shares of an image."""
    return torch.rand(number, 2, 2, generator=chance).sort(dim=1).values.flatten(1)


@DATASETS.register_module()
class MadeUpPhrases(MadeUp):
    """Phrases of one word again and again, each of its own sentence, about noise.

    Parameters
    ----------
    shape: (int, int)
        Height and width; or the number of boxes and the width of their features.
    features: bool
        Whether it is these.
    length, boxes: int
        Words of a phrase, and boxes of an image.
    """

    def __init__(self, shape: tuple[int, int], features: bool, length: int, boxes: int) -> None:
        chance = torch.Generator().manual_seed(0)
        right = torch.zeros(1, boxes)
        right[0, 0] = 1
        sample = {
            "inputs": noise(shape, features, chance),
            "places": boxes_anywhere(boxes, chance),
            "words": torch.full((1, length), FIRST),
            "outside": torch.zeros(1, length, dtype=torch.bool),
            "right": right,
        }
        super().__init__(sample)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.sample, "image": index // OF_AN_IMAGE}


def probe(job: Job, steps: int, outputs: int | None = None) -> Probed:
    """Measure steps on sentences with a phrase each; not those that teach the visual network."""
    recipe = job.recipe
    features = recipe.takes_features
    dataset = {
        "type": "MadeUpPhrases",
        "shape": (recipe.boxes, recipe.feature_channels) if features else recipe.image_size,
        "features": features,
        "length": recipe.question_length,
        "boxes": recipe.boxes,
    }
    words = len(words_of(job)) if outputs is None else outputs
    config = training_config(job, words, {})
    return steps_of.probe(job, config, dataset, steps, unit="sentence")
