"""The stem: it names what is in each cell, and sees no other cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from plugins.controls.drawing import CELL, Drawer
from plugins.controls.scenes import CLASSES, INKS, NOTHING

__all__ = ["FEATURES", "Stem", "as_tensor", "features", "learn", "load"]

FEATURES = CLASSES + INKS + 2
"""Numbers that the stem gives for a cell."""

WIDTH = 256
"""Units of the layer before the last."""

SCENES = 12
"""Scenes a step, of which all objects are looked at, and so many of the `EMPTY` cells:"""

EMPTY = 0.1

RATE = 5e-3


class Stem(nn.Module):
    """Two convolutions on each cell alone, and one linear layer each for its class and its ink.

    What it hands on are the two distributions side by side: nothing about class and ink together,
    so that what follows cannot find an object by both without attending. It learns from the cells
    of the training scenes, and not from questions; after that it is frozen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.ReLU()),
            *(nn.Conv2d(16, 64, 3, stride=2, padding=1), nn.ReLU()),
            nn.Flatten(),
            *(nn.Linear(64 * (CELL // 4) ** 2, WIDTH), nn.ReLU()),
        )
        self.of_class, self.of_ink = nn.Linear(WIDTH, CLASSES + 1), nn.Linear(WIDTH, INKS + 1)

    def logits(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N, CLASSES + 1) and (N, INKS + 1) of cells (N, 3, CELL, CELL) in [0, 1].

        The last of each is the empty cell's.
        """
        found = self.layers(cells * 2 - 1)
        return self.of_class(found), self.of_ink(found)

    def forward(self, scenes: Tensor) -> Tensor:
        """Return (N, FEATURES, rows, columns) of scenes (N, 3, CELL rows, CELL columns)."""
        rows, columns = scenes.shape[-2] // CELL, scenes.shape[-1] // CELL
        names = torch.cat([each.softmax(dim=1) for each in self.logits(cut(scenes))], dim=1)
        return names.unflatten(0, (-1, rows, columns)).permute(0, 3, 1, 2)


def cut(scenes: Tensor) -> Tensor:
    """Return the cells (N rows columns, 3, CELL, CELL) of scenes (N, 3, H, W), row by row."""
    cells = scenes.unfold(2, CELL, CELL).unfold(3, CELL, CELL)
    return cells.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


def load(file: Path) -> Stem:
    """Return the stem whose weights are in a file."""
    stem = Stem()
    stem.load_state_dict(torch.load(file, weights_only=True))
    return stem.eval()


def as_tensor(scenes: np.ndarray) -> Tensor:
    """Return scenes (N, SIDE, SIDE, 3), bytes, as (N, 3, SIDE, SIDE) in [0, 1]."""
    return torch.from_numpy(scenes).permute(0, 3, 1, 2).float() / 255


def pixels(drawer: Drawer, numbers: np.ndarray) -> Tensor:
    """Return scenes as (N, 3, SIDE, SIDE) in [0, 1]."""
    return as_tensor(np.stack([drawer.pixels(int(number)) for number in numbers]))


def learn(drawer: Drawer, seed: int, steps: int, scenes: int | None = None) -> Stem:
    """Return a stem that has learned in so many steps to name what is in the cells of the scenes.

    `scenes` of them are looked at, all by default.
    """
    known = min(len(drawer), scenes or len(drawer))
    chance = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stem = Stem()
    optimizer = torch.optim.AdamW(stem.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(steps):
        chosen = chance.choice(known, min(known, SCENES), replace=False)
        names = drawer.classes[chosen].ravel(), drawer.inks[chosen].ravel()
        seen = (names[0] != NOTHING) | (chance.random(names[0].shape) < EMPTY)
        logits = stem.logits(cut(pixels(drawer, chosen))[seen])
        losses = [
            functional.cross_entropy(each, _targets(name[seen], each.shape[1] - 1))
            for each, name in zip(logits, names, strict=True)
        ]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        schedule.step()
    return stem.eval().requires_grad_(False)


def _targets(names: np.ndarray, empty: int) -> Tensor:
    return torch.from_numpy(np.where(names == NOTHING, empty, names))


@torch.no_grad()
def features(stem: Stem, drawer: Drawer, scenes: int | None = None, batch: int = 64) -> Tensor:
    """Return what the stem says of the first so many scenes, (N, FEATURES, rows, columns)."""
    numbers = np.arange(len(drawer))[:scenes]
    parts = np.array_split(numbers, -(-len(numbers) // batch))
    return torch.cat([stem(pixels(drawer, part)) for part in parts])
