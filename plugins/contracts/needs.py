"""What of attention the answers of a positive control need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = ["Need", "Needs"]


@dataclass(frozen=True)
class Need:
    """What the answers of one control need.

    Parameters
    ----------
    terms: frozenset of str
        ``E1`` to ``E4``; all of these are needed.
    chance: float
        The share of answers that is right by guessing, in the unit of the task's first metric.
    instead: frozenset of str
        Terms that can do the same in place of `terms`; empty if none can.
    """

    terms: frozenset[str]
    chance: float
    instead: frozenset[str] = frozenset()


class Needs(ABC):
    """A task of positive controls: of each question it is known which terms can answer it.

    Attributes
    ----------
    asked_by: str
        The field of the recipe that says what is asked, by which one control differs from another.
    """

    asked_by: ClassVar[str]

    @abstractmethod
    def need(self, recipe: Any) -> Need:
        """Return what the answers need."""
