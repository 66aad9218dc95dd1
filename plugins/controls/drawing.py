"""Draw a scene of a prepared set as an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plugins.controls.scenes import CELLS, RING, SALIENT

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CELL", "COLOURS", "SIDE", "Drawer"]

CELL = 16
"""Pixels of a cell's side."""

SIDE = CELL * (CELLS + 2 * RING)
"""Pixels of a scene's side."""

COLOURS = np.array([(255, 80, 80), (90, 160, 255), (255, 220, 60), (240, 90, 255), (255, 255, 255)])
"""Of the inks, the salient one last."""
assert len(COLOURS) == SALIENT + 1

DARKER = 0.35
"""Factor on the photo, so that the inks stand out."""


class Drawer:
    """The scenes of one kind and split.

    Attributes
    ----------
    classes, inks, answers, places: numpy.ndarray
        As in `Scene`, with a first axis for the scenes.
    """

    def __init__(self, folder: Path, kind: str, split: str) -> None:
        from PIL import Image

        with np.load(folder / "scenes.npz") as kept:
            read = {
                name: kept[f"{kind}_{split}_{name}"].astype(np.int64)
                for name in ("classes", "inks", "answers", "places", "digits", "ground")
            }
        self.classes, self.inks = read["classes"], read["inks"]
        self.answers, self.places = read["answers"], read["places"]
        self._digits, self._ground = read["digits"], read["ground"]
        with np.load(folder / "digits.npz") as drawings:
            self._drawings = drawings[split]
        with Image.open(folder / "photo.png") as photo:
            self._photo = np.asarray(photo.convert("RGB"))

    def __len__(self) -> int:
        return len(self.classes)

    def pixels(self, number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return a scene as (SIDE, SIDE, 3)."""
        top, left = self._ground[number]
        scene = DARKER * self._photo[top : top + SIDE, left : left + SIDE].astype(np.float32)
        margin = (CELL - self._drawings.shape[-1]) // 2
        width = self._drawings.shape[-1]
        for row, column in np.argwhere(self.classes[number] >= 0):
            at = number, row, column
            ink = self._drawings[self.classes[at], self._digits[at]][..., None] / np.float32(255)
            y, x = row * CELL + margin, column * CELL + margin
            under = scene[y : y + width, x : x + width]
            under += ink * (COLOURS[self.inks[at]] - under)
        return scene.round().astype(np.uint8)

    def image(self, number: int) -> Image:
        """Return a scene as an image."""
        from PIL import Image

        return Image.fromarray(self.pixels(number))
