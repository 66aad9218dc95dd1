"""Canonical cost of the gates on feature maps, from shapes alone. Imports no torch.

Pooling, the gates' own application and batch normalisation are no products and count nothing.
"""

from __future__ import annotations

from plugins.attention.core.closed_form import ClosedForm

__all__ = ["EXCITE_REDUCTION", "cbam", "gather_excite", "units"]

EXCITE_REDUCTION = 16
"""Channels to a hidden unit of gather-excite, Hu et al. 2018, section 4."""


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


def gather_excite(
    size: tuple[int, int], channels: int, *, parameters: str, extent: int
) -> ClosedForm:
    """Return the cost of the strided convolutions that gather, and of the layers that excite.

    The arguments are those of ``GatherExcite2d``. On a map that the extent does not divide there
    are as many cells as begin within it.
    """
    rows, columns = size
    products, learned = [], 0
    if parameters != "none":
        for step in range(1, extent.bit_length()):
            rows, columns = -(-rows // 2), -(-columns // 2)
            products.append((f"9 C N/{4**step}", 9 * channels * rows * columns))
            learned += (9 + 2) * channels  # a kernel, and the norm's scale and shift
    if parameters == "plus":
        hidden = units(channels, EXCITE_REDUCTION)
        products.append(("2 C²/r N/e²", 2 * channels * hidden * rows * columns))
        learned += 2 * channels * hidden + hidden + channels
    return ClosedForm(tuple(products), learned)
