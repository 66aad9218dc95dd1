"""Canonical cost of the gates on feature maps, from shapes alone. Imports no torch.

Pooling, the gates' own application and batch normalisation are no products and count nothing.
"""

from __future__ import annotations

from plugins.attention.core.closed_form import ClosedForm

__all__ = ["cbam", "units"]


def units(channels: int, reduction: int, least: int = 1) -> int:
    """Return the width of the hidden layer that makes gates."""
    return max(channels // reduction, least)


def cbam(size: tuple[int, int], channels: int, *, reduction: int, kernel: int) -> ClosedForm:
    """Return the cost of both gates; two means of each channel go through the hidden layer."""
    hidden = units(channels, reduction)
    products = (
        ("4 C²/r", 4 * channels * hidden),
        ("2 k² N", 2 * kernel**2 * size[0] * size[1]),
    )
    norm = 2
    learned = 2 * channels * hidden + hidden + channels + 2 * kernel**2 + norm
    return ClosedForm(products, learned)
