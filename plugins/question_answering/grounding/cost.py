"""Count what it costs to ground a phrase."""

from __future__ import annotations

import torch
from mmengine.registry import MODELS
from torch import Tensor

from plugins.attention.core import cost as costs
from plugins.contracts.job import Job
from plugins.question_answering.data.words import FIRST
from plugins.question_answering.grounding.config import network, words_of
from plugins.question_answering.recipe import CORNERS, Recipe

__all__ = ["boxes", "cost", "inputs"]


def inputs(recipe: Recipe) -> list[int]:
    """Return the shape of an image, or of the features of its boxes."""
    if recipe.takes_features:
        return [recipe.boxes, recipe.feature_channels]
    return [3, *recipe.image_size]


def boxes(recipe: Recipe) -> dict[str, Tensor]:
    """Return the ``places`` of the boxes of one image, and that none is ``absent``."""
    return {
        "places": torch.zeros(1, recipe.boxes, CORNERS),
        "absent": torch.zeros(1, recipe.boxes, dtype=torch.bool),
    }


def cost(job: Job, outputs: int | None = None) -> costs.Cost:
    """Count one image with as many boxes as are read, and a phrase of as many words.

    `outputs` is the number of words that are known; by default those of the data set.
    """
    recipe = job.recipe
    known = len(words_of(job)) if outputs is None else outputs
    seen = inputs(recipe)
    one = torch.zeros(1, dtype=torch.long)
    with torch.device("meta"):
        model = MODELS.build(network(job, known, {}))
        given = {
            "inputs": torch.zeros(1, *seen),
            **boxes(recipe),
            "words": torch.full((1, recipe.question_length), FIRST),
            "outside": torch.zeros(1, recipe.question_length, dtype=torch.bool),
            "of_image": one.to("meta"),
            "of_sentence": one.to("meta"),
        }
    return costs.count(model, lambda: model(**given), [*seen, recipe.question_length])
