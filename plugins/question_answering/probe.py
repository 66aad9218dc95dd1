"""Steps of a training on made-up questions."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import DATASETS

from plugins.contracts.job import Job
from plugins.contracts.probe import Probed
from plugins.openmmlab import probe as steps_of
from plugins.openmmlab.probe import MadeUp
from plugins.question_answering.config import answers_of, training_config, words_of
from plugins.question_answering.data.words import FIRST
from plugins.question_answering.grounding import probe as of_phrases

__all__ = ["MadeUpQuestions", "probe"]

OF_AN_IMAGE = 5
"""Questions about an image, as in VQA; of digit scenes there are 6."""


@DATASETS.register_module()
class MadeUpQuestions(MadeUp):
    """Questions of one word again and again, about noise.

    Parameters
    ----------
    shape: (int, int)
        Height and width; or the number of boxes and the width of their features.
    features: bool
        Whether it is these.
    length, answers: int
        Words of a question, and answers that are known.
    """

    def __init__(self, shape: tuple[int, int], features: bool, length: int, answers: int) -> None:
        chance = torch.Generator().manual_seed(0)
        scores = torch.zeros(answers)
        scores[0] = 1
        sample = {
            "inputs": of_phrases.noise(shape, features, chance),
            "words": torch.full((length,), FIRST),
            "scores": scores,
        }
        if features:
            sample["places"] = of_phrases.boxes_anywhere(shape[0], chance)
        super().__init__(sample)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.sample, "image": index // OF_AN_IMAGE}


def probe(job: Job, steps: int, outputs: int | None = None) -> Probed:
    """Measure steps on questions, five about an image; not those that teach the visual network.

    Or on sentences, five about an image, with a phrase each. With `all_cells_epochs`, hard
    attention keeps all cells in these steps: they take the most memory and time of all.
    """
    if job.recipe.goal == "ground":
        return of_phrases.probe(job, steps, outputs)
    if outputs is None:
        answers, words = len(answers_of(job)), len(words_of(job))
    else:
        answers = words = outputs
    recipe = job.recipe
    features = recipe.takes_features
    dataset = {
        "type": "MadeUpQuestions",
        "shape": (recipe.boxes, recipe.feature_channels) if features else recipe.image_size,
        "features": features,
        "length": recipe.question_length,
        "answers": answers,
    }
    config = training_config(job, answers, words, {})
    return steps_of.probe(job, config, dataset, steps, unit="question")
