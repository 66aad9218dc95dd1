"""A tiny set: squares of four colours, one of them rare, on noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from plugins.attention.core.word import Word
from plugins.classification.data.layout import write_classes
from plugins.classification.recipe import Recipe
from plugins.contracts.job import Job

__all__ = ["COLOURS", "COUNTS", "job", "make"]

COLOURS = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0), "white": (255,) * 3}
COUNTS = {"red": 12, "green": 12, "blue": 12, "white": 4}
SIDE = 32


def make(folder: Path, seed: int = 0) -> Path:
    """Write the set; white ones are JPEGs in a folder further down."""
    chance = np.random.default_rng(seed)
    for split in ("train", "val"):
        for name, colour in COLOURS.items():
            for number in range(COUNTS[name]):
                image = chance.integers(0, 60, (SIDE, SIDE + 8, 3), np.uint8)
                y, x = chance.integers(4, SIDE - 16, 2)
                image[y : y + 12, x : x + 12] = colour
                white = name == "white"
                path = folder / split / name / ("more/" * white + f"{number}.png")
                path = path.with_suffix(".JPG") if white else path
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), image)
    write_classes(folder, {name: f"{name} square" for name in COLOURS})
    return folder


def job(data: Path, folder: Path, word: str = "none", sites=("conv4", "conv5"), **recipe) -> Job:
    """A run of the set; its records are kept in ``job.recorded``."""
    lines: list[dict] = []
    small = {"depth": 14, "base_channels": 8, "crop": (SIDE, SIDE), "batch_size": 10, "epochs": 2}
    folder.mkdir(parents=True, exist_ok=True)
    return Job(
        mechanism=Word.parse(word),
        sites=sites,
        seed=0,
        recipe=Recipe(**{**small, **recipe}),
        data=data,
        folder=folder,
        device="cpu",
        record=lambda split, **values: lines.append({"split": split, **values}),
        recorded=lambda split: [line for line in lines if line["split"] == split],
    )
