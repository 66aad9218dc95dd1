"""Canonical cost of the gates on feature maps, from shapes alone. Imports no torch.

Pooling, the gates' own application and batch normalisation are no products and count nothing.
"""

from __future__ import annotations

from plugins.attention.core.closed_form import ClosedForm

__all__ = [
    "EXCITE_REDUCTION",
    "MASK_REDUCTION",
    "SELECT_LEAST",
    "cbam",
    "gather_excite",
    "residual_attention",
    "selective_kernel",
    "units",
]

EXCITE_REDUCTION = 16
"""Channels to a hidden unit of gather-excite, Hu et al. 2018, section 4."""

MASK_REDUCTION = 4
"""Channels to a channel inside of the mask branch's units, as in a ResNet's bottleneck."""

SELECT_LEAST = 32
"""Hidden units that selective kernels have at least, Li et al. 2019, equation (4)."""


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


def residual_attention(size: tuple[int, int], channels: int, *, levels: int) -> ClosedForm:
    """Return the cost of the mask branch: its units by level, and the two layers at the end.

    Each halving rounds up. All levels but the last have three units, the last has two.
    """
    rows, columns = size
    inner = units(channels, MASK_REDUCTION)
    products, number = [], 0
    for level in range(1, levels + 1):
        rows, columns = -(-rows // 2), -(-columns // 2)
        here = 3 if level < levels else 2
        number += here
        positions = here * rows * columns
        products += [
            (f"{2 * here} C D N/{4**level}", 2 * positions * channels * inner),
            (f"{9 * here} D² N/{4**level}", 9 * positions * inner**2),
        ]
    products.append(("2 N C²", 2 * size[0] * size[1] * channels**2))
    unit = 2 * channels * inner + 9 * inner**2 + 2 * (channels + 2 * inner)
    last = 2 * channels**2 + channels + 2 * (2 * channels)
    return ClosedForm(tuple(products), number * unit + last)


def selective_kernel(
    size: tuple[int, int],
    channels: int,
    *,
    reduction: int,
    branches: int,
    in_channels: int | None = None,
    kernel_size: int = 3,
    bias: bool = False,
) -> ClosedForm:
    """Return the cost of all branches but the first, and of the selection.

    The first is the convolution that they stand beside; `size` is that of its output. The
    arguments are those of ``SelectiveKernel2d``.
    """
    hidden = units(channels, reduction, SELECT_LEAST)
    weights = (branches - 1) * kernel_size**2 * (in_channels or channels) * channels
    select = (branches + 1) * channels * hidden
    products = (
        (f"{(branches - 1) * kernel_size**2} N C²", size[0] * size[1] * weights),
        (f"{branches + 1} C d", select),
    )
    biases = (branches - 1) * channels * bias + branches * channels
    norm = 2 * hidden
    return ClosedForm(products, weights + select + biases + norm)
