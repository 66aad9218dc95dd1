"""What mIoU is made of, image by image: areas of the classes. Imports no framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.contracts.items import ITEMS

if TYPE_CHECKING:
    import numpy as np

    from plugins.contracts.items import Arrays

__all__ = ["areas_of_images", "iou_of_samples"]

AREAS = ("intersection", "predicted", "labelled")


def areas_of_images(
    intersection: np.ndarray[Any, Any],
    predicted: np.ndarray[Any, Any],
    labelled: np.ndarray[Any, Any],
) -> dict[str, np.ndarray[Any, Any]]:
    """Return areas in pixels, (images, classes), under their names, and the numbers of the images.

    Where few classes are in an image most areas are 0, which a compressed file has for nothing.
    """
    import numpy as np

    kept = zip(AREAS, (intersection, predicted, labelled), strict=True)
    numbers = np.arange(len(labelled))
    return {ITEMS: numbers, **{name: each.astype(np.uint32) for name, each in kept}}


def iou_of_samples(
    items: Arrays, weights: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return mIoU of each sample of images, in [0, 1]; see `CountsItems`.

    A class that neither labels nor predictions of a sample have is left out. NaN if no pixel of a
    sample has a class.
    """
    import numpy as np

    # Floats add up faster, and these sums are exact.
    right, predicted, labelled = (weights.astype(float) @ items[a].astype(float) for a in AREAS)
    union = predicted + labelled - right
    there = union > 0
    iou = np.divide(right, union, out=np.zeros_like(union), where=there)
    measured = labelled.any(axis=1)
    classes = np.where(measured, there.sum(axis=1), np.nan)
    return iou.sum(axis=1) / classes
