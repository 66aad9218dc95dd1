"""The same trainings for MMDetection's own train script, and what came of them on either side.

The script imports this module (``custom_imports``), for the layers that a config names and for the
hook that draws random numbers as our worker does. With equally many threads both sides then end
with the same weights, to the last bit.

The command asks a child for what is here, and so needs no framework itself.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.detection.config import runner_config
from plugins.detection.recipe import Recipe
from plugins.detection.task import Detection
from plugins.openmmlab.checkpoints import load
from plugins.openmmlab.records import RECORD_INTERVAL

__all__ = ["ReseedEpochs", "read", "stock_config", "write"]


@HOOKS.register_module()
class ReseedEpochs(Hook):
    """Starts each epoch from the random states that our worker would start it from.

    Parameters
    ----------
    seed: int
        Of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed Python, NumPy and torch."""
        drawn = int(np.random.SeedSequence([self.seed, runner.epoch]).generate_state(1)[0])
        random.seed(drawn)
        np.random.seed(drawn)
        torch.manual_seed(drawn)


def stock_config(mechanism: str, seed: int, recipe: dict[str, Any], data: Path) -> Config:
    """Return a config with which MMDetection's script does what our worker does in training.

    The worker does more beside it: it evaluates the untrained model, counts MACs and records where
    the result comes from.
    """
    job = Job(
        mechanism=Word.parse(mechanism),
        sites=Detection.default_sites,
        seed=seed,
        recipe=Recipe.model_validate(recipe),
        data=data,
        folder=Path(),
        device="cpu",
        record=lambda split, **values: None,
        recorded=lambda split: [],
    )
    return Config(
        {
            **runner_config(job),
            "custom_imports": {"imports": [__name__], "allow_failed_imports": False},
            "custom_hooks": [{"type": "ReseedEpochs", "seed": seed, "priority": "VERY_HIGH"}],
            "default_hooks": {
                "logger": {"type": "LoggerHook", "interval": RECORD_INTERVAL},
                "checkpoint": {"type": "CheckpointHook", "interval": 1, "max_keep_ckpts": 2},
            },
            "randomness": {"seed": seed},
            "env_cfg": {"cudnn_benchmark": False},
        }
    )


def write(cells: list[dict[str, Any]], recipe: dict[str, Any], data: str, folder: str) -> list[str]:
    """Write a config file a cell into `folder`; a cell has a name, a mechanism and a seed."""
    paths = []
    for cell in cells:
        config = stock_config(cell["mechanism"], cell["seed"], recipe, Path(data))
        paths.append(f"{folder}/{cell['name']}.py")
        config.dump(paths[-1])
    return paths


def read(folders: list[str]) -> list[dict[str, Any]]:
    """Return what MMEngine left in its work folders, of either side."""
    return [_work_done(Path(folder)) for folder in folders]


def _work_done(folder: Path) -> dict[str, Any]:
    newest = Path((folder / "last_checkpoint").read_text())
    checkpoint = load(newest)
    digest = hashlib.sha256()
    for name, value in sorted(checkpoint["state_dict"].items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    (scalars,) = folder.glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    trained = [line["loss"] for line in lines if "loss" in line]
    return {
        "epochs": checkpoint["meta"]["epoch"],
        "iterations": checkpoint["meta"]["iter"],
        "weights": digest.hexdigest(),
        "first_loss": trained[0],
        "last_loss": trained[-1],
        "mAP_50": lines[-1].get("coco/bbox_mAP_50", 0.0),  # absent where nothing was detected
    }
