"""The config of a run as MMEngine's runner takes it: model, data, schedule, evaluation."""

from __future__ import annotations

from typing import Any

from mmengine.config import ConfigDict

from plugins.contracts.job import Job
from plugins.openmmlab import blocks, sites, training  # noqa: F401  blocks registers itself
from plugins.openmmlab.backbone import BASIC_DEPTHS
from plugins.openmmlab.optimizer import optimizer
from plugins.openmmlab.resnet import RGB, STEMS
from plugins.question_answering import (  # they register themselves
    evaluator,  # noqa: F401
    model,  # noqa: F401
    reading,  # noqa: F401
    visual,  # noqa: F401
)
from plugins.question_answering.data.features import in_set
from plugins.question_answering.data.layout import read_answers, read_questions
from plugins.question_answering.data.objects import attributes, read_objects
from plugins.question_answering.data.words import FIRST, known_words
from plugins.question_answering.recipe import Recipe
from plugins.question_answering.sites import POOL

__all__ = [
    "answers_of",
    "backbone",
    "network",
    "runner_config",
    "schedule",
    "training_config",
    "words_of",
]

PREPROCESSOR = {"type": "EachImageOnce", **RGB}


def answers_of(job: Job) -> tuple[str, ...]:
    """Return the answers that are known, the most frequent first."""
    found = tuple(read_answers(job.data, job.recipe.least, job.recipe.training_images))
    if not found:
        raise ValueError(
            f"least ({job.recipe.least}): no answer in {job.data} is the best one of so many"
            " training questions"
        )
    return found


def words_of(job: Job) -> dict[str, int]:
    """Return the number of each word that the questions have which the run learns from."""
    return known_words(job.data, job.recipe.training_images)


def network(job: Job, answers: int, words: int, names: dict[str, int]) -> ConfigDict:
    """Return the config of the model.

    Parameters
    ----------
    job: Job
        The run.
    answers, words: int
        How many are known.
    names: dict of str to int
        How many names each attribute of an object has; empty if none are learnt.
    """
    recipe: Recipe = job.recipe
    made = {
        "type": "Answering",
        "data_preprocessor": PREPROCESSOR,
        "sees": recipe.network != "question_only",
        "backbone": backbone(job),
        "map_channels": recipe.map_channels,
        "cell_channels": recipe.cell_channels,
        "coordinates": recipe.coordinates,
        "words": FIRST + words,
        "word_channels": recipe.word_channels,
        "encoder": recipe.encoder,
        "channels": recipe.channels,
        "heads": recipe.heads,
        "word": str(job.mechanism) if POOL in job.sites else "none",
        "pooling": recipe.pooling,
        "answers": answers,
        "answer_layers": [recipe.answer_channels or recipe.channels] * recipe.answer_layers,
        "dropout": recipe.dropout,
        "loss": recipe.loss,
        "attributes": names,
        "epochs": recipe.epochs,
        "visual_epochs": recipe.visual_epochs if names else 0,
        "all_cells_epochs": recipe.all_cells_epochs,
        "frozen": recipe.frozen_visual,
    }
    return ConfigDict(made)


def backbone(job: Job) -> dict[str, Any]:
    """Return the config of what makes maps of images; empty if there are none."""
    recipe: Recipe = job.recipe
    if not recipe.sees_images:
        return {}
    at = [name for name in job.sites if name != POOL]
    attending = (job.mechanism, at, recipe.heads, recipe.kv_stride)
    if recipe.network == "convolutions":
        plain: dict[str, Any] = {
            "type": "Convolutions",
            "base_channels": recipe.base_channels,
            "stages": recipe.stages,
            "depth": BASIC_DEPTHS[0],  # its modules have the names of such blocks
        }
        sites.attend(plain, *attending)
        del plain["depth"]
        return plain
    resnet: dict[str, Any] = {
        **STEMS[recipe.stem],
        "depth": recipe.depth,
        "base_channels": recipe.base_channels,
        "num_stages": recipe.stages,
        "strides": (1, 2, 2, 2)[: recipe.stages],
        "dilations": (1,) * recipe.stages,
        "out_indices": (recipe.stages - 1,),
        "init_cfg": recipe.pretrained and {"type": "Pretrained", "checkpoint": recipe.pretrained},
    }
    sites.attend(resnet, *attending)
    for plugin in resnet.get("plugins", ()):
        plugin["stages"] = plugin["stages"][: recipe.stages]
    if "stage_with_dcn" in resnet:
        resnet["stage_with_dcn"] = resnet["stage_with_dcn"][: recipe.stages]
    return resnet


def runner_config(job: Job) -> dict[str, Any]:
    """Return model, data, schedule and evaluation as ``mmengine.Runner`` takes them."""
    recipe: Recipe = job.recipe
    answers = answers_of(job)
    questions = read_questions(job.data, "train", recipe.training_images)
    recipe.check_items(len(questions))
    if recipe.sees_images and in_set(job.data) and not (job.data / questions[0].image).is_file():
        raise ValueError(
            f"{job.data} has features of boxes and no images, so network {recipe.network} has none"
            " to see: network features reads the features, and question_only needs neither"
        )
    names = {}
    if recipe.visual_epochs:
        known = attributes(read_objects(job.data, "train"))
        names = {attribute: len(values) for attribute, values in known.items()}
    config = training_config(job, len(answers), len(words_of(job)), names)
    return config | {
        "train_dataloader": _loader(job, "train", answers),
        "val_dataloader": _loader(job, recipe.evaluation_split, answers),
        "val_cfg": {},
        "val_evaluator": {
            "type": "Answers",
            "data_root": str(job.data),
            "split": recipe.evaluation_split,
            "cells": recipe.cells,
            "images": recipe.evaluation_images,
            "training_images": recipe.training_images,
        },
    }


def training_config(job: Job, answers: int, words: int, names: dict[str, int]) -> dict[str, Any]:
    """Return the part of `runner_config` that needs no data: model, optimizer and schedule."""
    return {**schedule(job), "model": network(job, answers, words, names)}


def schedule(job: Job) -> dict[str, Any]:
    """Return how long it is learnt, by which optimizer, and how the learning rate changes."""
    recipe: Recipe = job.recipe
    clip = {"clip_grad": {"max_norm": recipe.clip}} if recipe.clip is not None else {}
    cycle = {"type": "OneCycle", "eta_max": recipe.rate, "convert_to_iter_based": True}
    first, last = recipe.visual_epochs, recipe.epochs
    spans = [(0, first), (first, last)] if first else [(0, last)]
    return {
        "default_scope": "mmengine",
        "train_cfg": recipe.train_cfg,
        "optim_wrapper": optimizer(job, **clip),
        "param_scheduler": [{**cycle, "begin": begin, "end": end} for begin, end in spans],
    }


def _loader(job: Job, split: str, answers: tuple[str, ...]) -> dict[str, Any]:
    recipe: Recipe = job.recipe
    to_train, of_features = split == "train", recipe.takes_features
    dataset = {
        "type": "Asked",
        "data_root": str(job.data),
        "split": split,
        "metainfo": {"classes": answers},
        "size": recipe.image_size if recipe.sees_images else None,
        "length": recipe.question_length,
        "images": recipe.training_images if to_train else recipe.evaluation_images,
        "training_images": recipe.training_images,
        "cells": recipe.cells if to_train and recipe.visual_epochs else None,
        "boxes": recipe.boxes if of_features else None,
        "channels": recipe.feature_channels if of_features else None,
    }
    made = training.loader(job, dataset, training.share(job), shuffle=to_train)
    if to_train:
        made["sampler"] = {"type": "ImageByImage", "batch_size": recipe.batch_size}
    return made
