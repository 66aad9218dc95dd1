"""Canonical cost: what the definition of a mechanism multiplies, from shapes alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

__all__ = ["ClosedForm"]


@dataclass(frozen=True)
class ClosedForm:
    """Multiply-accumulates and parameters, computed from shapes.

    Attributes
    ----------
    products: tuple of (str, int)
        The products of the definition, each as text in the symbols of ``docs/mechanisms.md``
        (such as ``N C²``) and as a number of multiply-accumulates.
    parameters: int
        Parameters that the mechanism adds to the model without it.
    """

    products: tuple[tuple[str, int], ...] = ()
    parameters: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one input."""
        return sum(macs for _, macs in self.products)

    def __add__(self, other: ClosedForm) -> ClosedForm:
        return ClosedForm(self.products + other.products, self.parameters + other.parameters)

    def __str__(self) -> str:
        """Return the formula: ``2 N C² + P C``."""
        times = Counter(text for text, _ in self.products)
        return " + ".join(text if n == 1 else f"{n} {text}" for text, n in times.items()) or "0"
