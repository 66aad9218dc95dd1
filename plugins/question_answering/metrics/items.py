"""What accuracy is made of, question by question. Imports no framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from plugins.contracts.items import ITEMS

if TYPE_CHECKING:
    import numpy as np

    from plugins.contracts.items import Arrays

__all__ = ["accuracy_of_samples", "scores_of_questions"]

WHOLE = 10
"""Parts of a right answer: those of VQA are .3, .6, .9 and 1."""


def scores_of_questions(
    scores: Sequence[float], types: Sequence[str]
) -> dict[str, np.ndarray[Any, Any]]:
    """Return how right each answer is in tenths, its type's number, and the types' names."""
    import numpy as np

    names, numbers = np.unique(np.array(types), return_inverse=True)
    return {
        ITEMS: np.arange(len(scores)),
        "tenths": np.round(np.array(scores) * WHOLE).astype(np.uint8),
        "type": numbers.astype(np.min_scalar_type(len(names))),
        "types": names,
    }


def accuracy_of_samples(
    items: Arrays, weights: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return accuracy of each sample of questions, in [0, 1]; see `CountsItems`.

    NaN of a sample without a question.
    """
    import numpy as np

    right = weights @ (items["tenths"] / WHOLE)
    questions = weights.sum(axis=1)
    return np.divide(right, questions, out=np.full(len(questions), np.nan), where=questions > 0)
