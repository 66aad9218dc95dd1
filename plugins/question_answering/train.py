"""Train a network that answers questions or grounds phrases, and count what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS, init_default_scope

from plugins.attention.core import cost as costs
from plugins.contracts.job import Job
from plugins.openmmlab import evaluation, training
from plugins.question_answering.config import answers_of, network, runner_config, words_of
from plugins.question_answering.data.words import FIRST
from plugins.question_answering.grounding import config as of_phrases
from plugins.question_answering.grounding import cost as cost_of_phrases

__all__ = ["cost", "evaluate", "train"]


def train(job: Job) -> None:
    """Train and evaluate as the recipe says."""
    training.train(job, _runner_config(job))


def evaluate(job: Job, checkpoint: Path) -> dict[str, float]:
    """Return the metrics of the recipe's split for the weights of a run."""
    return evaluation.evaluate(job, _runner_config(job), checkpoint)


def cost(job: Job, outputs: int | None = None) -> costs.Cost:
    """Count one image and one question, of as many words as are read; or one phrase.

    What names objects while the visual network learns is no part of it. `outputs` is the number of
    answers; by default those of the data set. Without the set its words are not known, and so many
    are taken, whose features are parameters and no MACs.
    """
    init_default_scope("mmengine")
    recipe = job.recipe
    if recipe.goal == "ground":
        return cost_of_phrases.cost(job, outputs)
    if outputs is None:
        answers, known = len(answers_of(job)), len(words_of(job))
    else:
        answers = known = outputs
    inputs = cost_of_phrases.inputs(recipe)
    with torch.device("meta"):
        model = MODELS.build(network(job, answers, known, {}))
        given = {
            "inputs": torch.zeros(1, *inputs),
            "words": torch.full((1, recipe.question_length), FIRST),
            "of_image": torch.zeros(1, dtype=torch.long),
        }
        if recipe.takes_features:
            given |= cost_of_phrases.boxes(recipe)
    return costs.count(model, lambda: model(**given), [*inputs, recipe.question_length])


def _runner_config(job: Job) -> dict[str, Any]:
    return (of_phrases.runner_config if job.recipe.goal == "ground" else runner_config)(job)
