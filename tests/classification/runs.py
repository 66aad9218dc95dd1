"""A run of the squares with random weights, as a folder."""

from __future__ import annotations

import json
import sys

import squares
import torch
from mmengine.registry import MODELS, init_default_scope

from plugins.classification import config

__all__ = ["command", "make"]


def make(data, folder, word, sites=("conv4", "conv5"), seed=0, **recipe):
    """Write ``run.json`` and a checkpoint; every parameter is drawn, so that nothing is neutral."""
    job = squares.job(data, folder, word, sites, **recipe)
    init_default_scope("mmengine")
    torch.manual_seed(seed)
    model = MODELS.build(config.classifier(job, len(squares.COLOURS)))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    (folder / "checkpoints").mkdir()
    weights = {"state_dict": model.state_dict(), "meta": {}}
    torch.save(weights, folder / "checkpoints" / "epoch_1.pth")
    science = {
        "task": "classification", "mechanism": word, "sites": list(sites), "seed": seed,
        "recipe": job.recipe.model_dump(mode="json"),
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps({"schema": 1, "science": science}))
    return job


def command(monkeypatch, *arguments):
    """Set what the command line has."""
    monkeypatch.setattr(sys, "argv", ["prove", *map(str, arguments)])
