"""The config of a run that grounds phrases, as MMEngine's runner takes it."""

from __future__ import annotations

from typing import Any

from mmengine.config import ConfigDict

from plugins.contracts.job import Job
from plugins.openmmlab import training
from plugins.openmmlab.resnet import RGB
from plugins.question_answering import config
from plugins.question_answering.data.layout import read_phrases
from plugins.question_answering.data.objects import attributes, read_objects
from plugins.question_answering.data.sentences import known_words_of_phrases, sentences
from plugins.question_answering.data.words import FIRST
from plugins.question_answering.grounding import (  # they register themselves
    evaluator,  # noqa: F401
    model,  # noqa: F401
    reading,  # noqa: F401
)
from plugins.question_answering.recipe import Recipe

__all__ = ["network", "runner_config", "training_config", "words_of"]


def network(job: Job, words: int, names: dict[str, int]) -> ConfigDict:
    """Return the config of the model; `words` are known, `names` as for one that answers."""
    recipe: Recipe = job.recipe
    made = {
        "type": "Grounding",
        "data_preprocessor": {"type": "BoxesOfImages", **RGB},
        "backbone": config.backbone(job),
        "map_channels": recipe.map_channels,
        "cell_channels": recipe.cell_channels,
        "coordinates": recipe.coordinates,
        "words": FIRST + words,
        "word_channels": recipe.word_channels,
        "encoder": recipe.encoder,
        "channels": recipe.channels,
        "heads": recipe.heads,
        "word": str(job.mechanism),
        "attributes": names,
        "epochs": recipe.epochs,
        "visual_epochs": recipe.visual_epochs if names else 0,
        "frozen": recipe.frozen_visual,
    }
    return ConfigDict(made)


def words_of(job: Job) -> dict[str, int]:
    """Return the number of each word that is read of the phrases which the run learns from."""
    return known_words_of_phrases(job.data, job.recipe.training_images)


def training_config(job: Job, words: int, names: dict[str, int]) -> dict[str, Any]:
    """Return the part of `runner_config` that needs no data: model, optimizer and schedule."""
    return {**config.schedule(job), "model": network(job, words, names)}


def runner_config(job: Job) -> dict[str, Any]:
    """Return model, data, schedule and evaluation as ``mmengine.Runner`` takes them."""
    recipe: Recipe = job.recipe
    if not recipe.takes_features and not (job.data / "objects").is_dir():
        raise ValueError(
            f"{job.data} says nothing of objects near which there could be boxes to choose from;"
            " goal ground needs that, or features of boxes and network features"
        )
    recipe.check_items(len(sentences(read_phrases(job.data, "train", recipe.training_images))))
    names = {}
    if recipe.visual_epochs:
        known = attributes(read_objects(job.data, "train"))
        names = {attribute: len(values) for attribute, values in known.items()}
    return {
        **training_config(job, len(words_of(job)), names),
        "train_dataloader": _loader(job, "train"),
        "val_dataloader": _loader(job, recipe.evaluation_split),
        "val_cfg": {},
        "val_evaluator": {
            "type": "Grounds",
            "data_root": str(job.data),
            "split": recipe.evaluation_split,
            "images": recipe.evaluation_images,
        },
    }


def _loader(job: Job, split: str) -> dict[str, Any]:
    recipe: Recipe = job.recipe
    to_train = split == "train"
    of_features = recipe.takes_features
    dataset = {
        "type": "Spoken",
        "data_root": str(job.data),
        "split": split,
        "metainfo": {"classes": ()},
        "boxes": recipe.boxes,
        "length": recipe.question_length,
        "size": None if of_features else recipe.image_size,
        "channels": recipe.feature_channels if of_features else None,
        "images": recipe.training_images if to_train else recipe.evaluation_images,
        "training_images": recipe.training_images,
        "cells": recipe.cells if to_train and recipe.visual_epochs else None,
    }
    made = training.loader(job, dataset, training.share(job), shuffle=to_train)
    if to_train:
        made["sampler"] = {"type": "ImageByImage", "batch_size": recipe.batch_size}
    return made
