"""Handwritten digits cut in two, of the copy that scikit-learn carries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from plugins.contracts.dataset import Card

SOURCES = ()
CARD = Card(
    task="halves",
    content="halves of handwritten digits",
    licence="CC BY 4.0",
    unit="images",
    benchmark="MNIST",
    composed=False,
    in_domain=True,
    packages=("scikit-learn",),
    notes=(),
)
TRAIN = 1347


def prepare(sources: Any, out: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Write ``train.npz`` and ``val.npz`` into the folder `out`."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    left, right = np.split((digits.images / 16).astype("float32"), 2, axis=2)
    for split, part in (("train", slice(TRAIN)), ("val", slice(TRAIN, None))):
        halves = {"left": left[part], "right": right[part], "labels": digits.target[part]}
        np.savez(out / f"{split}.npz", **halves)
    return {"items": {"train": TRAIN, "val": len(digits.target) - TRAIN}}
