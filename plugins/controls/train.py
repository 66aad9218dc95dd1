"""Train a control, and count what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor

from plugins.attention.core import cost as costs
from plugins.contracts.job import Job
from plugins.controls import stem, store
from plugins.controls.config import network, runner_config
from plugins.controls.drawing import CELL, SIDE, Drawer
from plugins.controls.scenes import CELLS, RING
from plugins.openmmlab import training
from plugins.openmmlab.look import of_query, trained_model

__all__ = ["cost", "look", "train"]


def train(job: Job) -> None:
    """Let the stem learn, then the rest, and evaluate as the recipe says."""
    training.train(job, runner_config(job, _stem(job)))


def _stem(job: Job) -> Path:
    """Return the file of the stem's weights; without one, let the stem learn first.

    It learns on the CPU. Runs that differ in their mechanism alone have the same stem, and learning
    it takes longer than the rest, so that they share it. Each keeps a copy, since its next attempt
    may find another machine; with several processes each makes a file of its own.
    """
    found = _file_of_stem(job)
    if not found.exists():
        recipe = job.recipe
        asked = (recipe.scene, job.seed, recipe.stem_steps, recipe.training_images)
        shared = store.named(job.data, *asked)
        store.save(store.load_or_make(shared, lambda: _learned(job)), found)
    return found


def _learned(job: Job) -> dict[str, Tensor]:
    recipe = job.recipe
    drawer = Drawer(job.data, recipe.scene, "train")
    return stem.learn(drawer, job.seed, recipe.stem_steps, recipe.training_images).state_dict()


def _file_of_stem(job: Job) -> Path:
    return job.folder / "checkpoints" / f"stem-{job.rank}.pt"


def cost(job: Job) -> costs.Cost:
    """Count one scene, from its pixels to the answers of all cells."""
    with torch.device("meta"):
        named, model = stem.Stem(), MODELS.build(network(job))
        scene = torch.zeros(1, 3, SIDE, SIDE)
    both = torch.nn.ModuleList([named, model])
    return costs.count(both, lambda: model(named(scene)), [3, SIDE, SIDE])


def look(job: Job, image: Path, query: tuple[int, int] | None) -> dict[str, np.ndarray[Any, Any]]:
    """Return what the mechanism weighs for one cell of a scene; see `Looks`.

    Raises
    ------
    ValueError
        If the run has no checkpoint, or the image is no scene.
    """
    from PIL import Image

    model = trained_model(job, Config({"model": network(job), "default_scope": "mmengine"}))
    if not (weights := _file_of_stem(job)).exists():
        raise ValueError(f"{weights} is missing: without its stem a run cannot be looked into")
    try:
        with Image.open(image) as opened:
            scene = np.asarray(opened.convert("RGB"))
    except OSError as error:
        raise ValueError(f"{image} cannot be read as an image: {error}") from None
    if scene.shape[:2] != (SIDE, SIDE):
        raise ValueError(
            f"{image} has {scene.shape[1]} x {scene.shape[0]} pixels, and a scene {SIDE} x {SIDE};"
            f" {job.data / 'examples'} has some"
        )
    column, row = query or (SIDE // 2, SIDE // 2)
    cell = row // CELL - RING, column // CELL - RING
    if not all(0 <= index < CELLS for index in cell):
        raise ValueError(
            f"pixel {column},{row} is in the ring around the cells, where nothing is asked; from"
            f" {RING * CELL} to {SIDE - RING * CELL - 1} there are questions"
        )
    found: dict[str, np.ndarray[Any, Any]] = {}
    if hasattr(model.block, "mechanism"):
        with torch.no_grad():
            named = stem.load(weights)(stem.as_tensor(scene[None].copy()))
            found = of_query("block", model.block, model.attending(named), cell)
    if not found:
        raise ValueError(f"{job.mechanism} has no weights to look at")
    inner = slice(RING * CELL, -RING * CELL)
    at = np.array((column, row)) - RING * CELL
    return {"image": scene[inner, inner], "query": at, **found}
