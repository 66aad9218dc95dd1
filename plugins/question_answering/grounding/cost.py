"""Count what it costs to ground a phrase."""

from __future__ import annotations

import torch
from mmengine.registry import MODELS

from plugins.attention.core import cost as costs
from plugins.contracts.job import Job
from plugins.question_answering.data.sentences import known_words_of_phrases
from plugins.question_answering.data.words import FIRST
from plugins.question_answering.grounding.config import network

__all__ = ["cost"]


def cost(job: Job, outputs: int | None = None) -> costs.Cost:
    """Count one image with as many boxes as are read, and a phrase of as many words.

    `outputs` is the number of words that are known; by default those of the data set.
    """
    recipe = job.recipe
    known = len(known_words_of_phrases(job.data)) if outputs is None else outputs
    height, width = recipe.image_size
    inputs = [recipe.boxes, recipe.feature_channels]
    if recipe.network != "features":
        inputs = [3, height, width]
    one = torch.zeros(1, dtype=torch.long)
    with torch.device("meta"):
        model = MODELS.build(network(job, known, {}))
        given = {
            "inputs": torch.zeros(1, *inputs),
            "places": torch.zeros(1, recipe.boxes, 4),
            "absent": torch.zeros(1, recipe.boxes, dtype=torch.bool),
            "words": torch.full((1, recipe.question_length), FIRST),
            "outside": torch.zeros(1, recipe.question_length, dtype=torch.bool),
            "of_image": one.to("meta"),
            "of_sentence": one.to("meta"),
        }
    shape = [*inputs, recipe.question_length]
    return costs.count(model, lambda: model(**given), shape)
