"""What accuracy is made of, image by image: label and prediction. Imports no framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from plugins.contracts.confusion import Confusion
from plugins.contracts.items import ITEMS

if TYPE_CHECKING:
    import numpy as np

    from plugins.contracts.items import Arrays

__all__ = ["accuracy_of_samples", "confusion", "labels_of_images"]


def labels_of_images(
    labels: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any], classes: Sequence[str]
) -> dict[str, np.ndarray[Any, Any]]:
    """Return labels and predictions, (images,), the classes' names, and the images' numbers."""
    import numpy as np

    kind = np.min_scalar_type(len(classes) - 1)
    return {
        ITEMS: np.arange(len(labels)),
        "label": labels.astype(kind),
        "predicted": predicted.astype(kind),
        "classes": np.array(classes),
    }


def accuracy_of_samples(
    items: Arrays, weights: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return top-1 accuracy of each sample of images, in [0, 1]; see `CountsItems`.

    NaN of a sample without an image.
    """
    import numpy as np

    right = weights @ (items["label"] == items["predicted"]).astype(float)
    images = weights.sum(axis=1)
    return np.divide(right, images, out=np.full(len(images), np.nan), where=images > 0)


def confusion(items: Arrays) -> Confusion:
    """Count the images by label and prediction."""
    import numpy as np

    names = tuple(map(str, items["classes"]))
    pairs = items["label"].astype(np.int64) * len(names) + items["predicted"]
    counts = np.bincount(pairs, minlength=len(names) ** 2).reshape(len(names), len(names))
    return Confusion(names, counts)
