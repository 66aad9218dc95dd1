"""What a metric of a test set is made of, item by item.

A run may keep it as ``items.npz`` in its folder: arrays with a name each, of numbers, small enough
for thousands of runs. From it the metric of any sample of the test set can be calculated, without
the model and without the framework.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]

__all__ = ["ITEMS", "CountsItems"]

ITEMS = "item"
"""The array that every ``items.npz`` has: the names or numbers of the test items, each once.

Runs of one test set list the same items in the same order, so that they can be compared by pairs.
"""


class CountsItems(ABC):
    """A task whose first metric can be calculated from statistics of the single test items."""

    @abstractmethod
    def value_of_items(self, items: Arrays, weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the task's first metric of samples of the test set.

        Parameters
        ----------
        items: mapping of str to numpy.ndarray
            What a run kept of its test items; ``items["item"]`` has one entry for each.
        weights: numpy.ndarray
            How often each sample has each item, (samples, items), whole numbers from 0. A row of
            ones is the test set itself.

        Returns
        -------
        numpy.ndarray
            (samples,), in float64; NaN where a sample has nothing to measure.
        """
