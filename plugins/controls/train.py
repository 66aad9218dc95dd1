"""Train a control, and count what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import MODELS

from plugins.attention.core import cost as costs
from plugins.contracts.job import Job
from plugins.controls import stem
from plugins.controls.config import network, runner_config
from plugins.controls.drawing import CELL, SIDE, Drawer
from plugins.controls.scenes import CELLS, RING
from plugins.openmmlab import training
from plugins.openmmlab.checkpoints import newest_whole_checkpoint

__all__ = ["cost", "look", "train"]


def train(job: Job) -> None:
    """Let the stem learn, then the rest; evaluate on the validation split after the last epoch."""
    training.train(job, runner_config(job, _stem(job)))


def _stem(job: Job) -> Path:
    """Return the file of the stem's weights; without one, let the stem learn first.

    It learns on the CPU, since the next attempt may find another machine. With several processes
    each learns the same stem and writes a file of its own.
    """
    found = job.folder / "checkpoints" / f"stem-{job.rank}.pt"
    if found.exists():
        return found
    recipe = job.recipe
    drawer = Drawer(job.data, recipe.scene, "train")
    learned = stem.learn(drawer, job.seed, recipe.stem_steps, recipe.training_images)
    found.parent.mkdir(parents=True, exist_ok=True)
    whole = found.with_suffix(".writing")
    torch.save(learned.state_dict(), whole)
    whole.replace(found)
    return found


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

    checkpoint = newest_whole_checkpoint(job.folder / "checkpoints")
    if checkpoint is None:
        raise ValueError(f"{job.folder / 'checkpoints'} has no checkpoint: train the run first")
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
    named = stem.Stem()
    named.load_state_dict(torch.load(_stem(job), weights_only=True))
    model = MODELS.build(network(job))
    model.load_state_dict(torch.load(checkpoint, weights_only=False)["state_dict"])
    model.eval()
    column, row = query or (SIDE // 2, SIDE // 2)
    cell = row // CELL - RING, column // CELL - RING
    if not all(0 <= index < CELLS for index in cell):
        raise ValueError(
            f"pixel {column},{row} is in the ring around the cells, where nothing is asked; from"
            f" {RING * CELL} to {SIDE - RING * CELL - 1} there are questions"
        )
    pixels = torch.from_numpy(scene.copy()).permute(2, 0, 1)[None].float() / 255
    mechanism = getattr(model.block, "mechanism", None)
    found: dict[str, Any] = {}
    if mechanism is not None:
        with torch.no_grad():
            attending = model.attending(named(pixels))
            found = mechanism.weights(model.block, attending, queries=[cell])
    if not found:
        raise ValueError(f"{job.mechanism} has no weights to look at")
    inner = slice(RING * CELL, -RING * CELL)
    arrays = {"image": scene[inner, inner], "query": np.array((column, row)) - RING * CELL}
    for name, value in found.items():
        of_query = value[0, :, 0] if value.dim() == 5 else value[0]
        arrays[f"block/{name}"] = of_query.float().numpy()
    return arrays
