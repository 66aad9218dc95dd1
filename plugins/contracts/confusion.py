"""Which classes a run takes for which others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from plugins.contracts.items import Arrays

__all__ = ["Confuses", "Confusion"]


@dataclass(frozen=True, eq=False)
class Confusion:
    """A confusion matrix.

    Parameters
    ----------
    classes: tuple of str
        Their names.
    counts: numpy.ndarray
        Test items by true class (rows) and predicted class (columns), whole numbers.
    """

    classes: tuple[str, ...]
    counts: np.ndarray[Any, Any]


class Confuses(ABC):
    """A task whose ``items.npz`` tells which classes are taken for which; the report shows it."""

    @abstractmethod
    def confusion(self, items: Arrays) -> Confusion:
        """Return the confusion matrix of a run, from what it kept of its test items."""
