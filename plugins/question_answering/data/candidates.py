"""Boxes among which a phrase is to be found, in an image for which nobody has proposed any.

Half of them lie roughly where objects are, the others anywhere. They are of the image alone: every
run sees the same ones, in every epoch.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from plugins.question_answering.data.rows import Box

__all__ = ["candidates", "windows"]

JITTER = 0.25
"""The most by which a side is moved, as a share of the object's width or height."""

SIZES = (1 / 6, 1 / 4)
"""Sides of `windows`, as shares of the shorter side of the image."""


def candidates(
    objects: Sequence[Box], size: tuple[int, int], number: int, image: str
) -> np.ndarray:
    """Return `number` boxes, in no order, (number, 4): left, top, right, bottom in pixels.

    Parameters
    ----------
    objects: sequence of boxes
        What is in the image: left, top, width, height. Each has as many boxes as any other, or one
        more.
    size: (int, int)
        Height and width of the image.
    number: int
        The first half are boxes of objects whose sides are moved, each by itself; the others have
        the width and height of one of them, and lie anywhere.
    image: str
        By which chance is fixed.
    """
    chance = np.random.default_rng(zlib.crc32(image.encode()))
    around = -(-number // 2)
    known = np.asarray(objects, float)
    near = known[np.resize(chance.permutation(len(known)), around)]
    sides = near[:, [2, 3, 2, 3]]
    corners = np.concatenate([near[:, :2], near[:, :2] + near[:, 2:]], axis=1)
    corners = corners + sides * chance.uniform(-JITTER, JITTER, corners.shape)
    extents = known[chance.integers(len(known), size=number - around), 2:]
    starts = chance.uniform(0, 1, extents.shape) * (np.array(size[::-1]) - extents)
    corners = np.concatenate([corners, np.concatenate([starts, starts + extents], axis=1)])
    corners = corners.clip(0, np.array([size[1], size[0], size[1], size[0]]))
    return chance.permutation(corners)


def windows(size: tuple[int, int]) -> np.ndarray:
    """Return squares that cover an image of height and width, each half over the next.

    For an image of which it is not known what is in it; of the form of `candidates`.
    """
    found = []
    for share in SIZES:
        side = min(size) * share
        tops, lefts = (
            np.linspace(0, whole - side, int(np.ceil(2 * whole / side)) - 1) for whole in size
        )
        left, top = (each.ravel() for each in np.meshgrid(lefts, tops))
        found.append(np.stack([left, top, left + side, top + side], axis=1))
    return np.concatenate(found)
