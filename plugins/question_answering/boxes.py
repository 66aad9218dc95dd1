"""Features of the boxes of images that a user has, as training and evaluation read them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plugins.contracts.copies import some
from plugins.question_answering.data import features

__all__ = ["FeaturesOfBoxes", "as_shares"]


class FeaturesOfBoxes:
    """Reads the features of the boxes of images of a prepared set.

    Parameters
    ----------
    root: Path
        Folder of the set.
    number: int
        How many boxes of an image are read: the first so many, or all if there are fewer.
    channels: int
        Width of the features.

    Raises
    ------
    ValueError
        If the set has no features.
    """

    def __init__(self, root: Path, number: int, channels: int) -> None:
        found = features.in_set(root)
        if found is None:
            raise ValueError(
                f"{root} has no features of boxes ({features.FOLDER} or {features.FILE}), which"
                " network features reads; another network sees images"
            )
        self.path, self.number, self.channels = found, number, channels
        self._opened: tuple[ExitStack, features.Opened] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A worker opens files for itself.
        return {**vars(self), "_opened": None}

    def check(self, images: Iterable[str]) -> None:
        """Refuse images, by their paths, that have no features."""
        with features.open_features(self.path) as opened:
            there = set(opened)
        if lacking := [image for image in images if Path(image).stem not in there]:
            raise ValueError(
                f"{self.path} lacks features of images: {some(lacking)}; network features needs"
                " those of all"
            )

    def read(self, image: str) -> tuple[dict[str, Tensor], np.ndarray]:
        """Return the features of an image, by its path, and its boxes.

        Returns
        -------
        dict of Tensor
            ``inputs`` (boxes, channels), and ``places`` (boxes, 4): left, top, right and bottom as
            shares of the image.
        numpy.ndarray
            (boxes, 4), the same in pixels.

        Raises
        ------
        ValueError
            If it has none, or they have another width.
        """
        if self._opened is None:
            files = ExitStack()  # open until the set is no longer used
            self._opened = files, files.enter_context(features.open_features(self.path))
        try:
            values, boxes = features.image_with_features(self._opened[1], image)
        except KeyError:
            raise ValueError(f"{self.path} has no features and boxes of {image}") from None
        if values.shape[1] != self.channels:
            raise ValueError(
                f"{self.path}: features of {image} have width {values.shape[1]}: set"
                f" feature_channels ({self.channels}) to that"
            )
        values, boxes = values[: self.number], boxes[: self.number].astype(float)
        # Nothing says how large the image is, but some of so many boxes reach its sides.
        places = as_shares(boxes, (boxes[:, 3].max(), boxes[:, 2].max()))
        return {"inputs": torch.from_numpy(values).float(), "places": places}, boxes


def as_shares(boxes: np.ndarray, size: tuple[float, float]) -> Tensor:
    """Return boxes (boxes, 4) in pixels as shares of an image of height and width."""
    return torch.from_numpy(boxes / np.array([size[1], size[0], size[1], size[0]])).float()
