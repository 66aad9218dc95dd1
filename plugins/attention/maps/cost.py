"""Canonical cost of the mechanisms over feature maps, from shapes alone. Imports no torch."""

from __future__ import annotations

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.products import pairs, products, weights

__all__ = [
    "LOCALISATION",
    "START",
    "deformable",
    "dynamic",
    "generalized",
    "spatial_transformer",
]

LOCALISATION = (5, 32, 5, 64)
"""Kernel size, channels, cells an axis, hidden units of what says how a map is moved."""

START = {
    "affine": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "attention": (1.0, 0.0, 0.0),  # scale, right, down
    "rotation": (0.0,),
}
"""What it says at the start, by transform: that nothing moves."""


def generalized(
    size: tuple[int, int],
    channels: int,
    *,
    heads: int,
    terms: str,
    kv_stride: int,
    q_stride: int = 1,
    spatial_range: int | None = None,
    position_dim: int | None = None,
) -> ClosedForm:
    """Return the cost of generalized attention on a map of `size` (H, W).

    The arguments are those of ``GeneralizedAttention2d``; :mod:`plugins.attention.core.products`
    says what is counted.
    """
    rows, columns = (-(-length // q_stride) for length in size)
    key_rows, key_columns = (-(-length // kv_stride) for length in size)
    steps = (q_stride, kv_stride, spatial_range)
    row_pairs = pairs(rows, key_rows, *steps)
    column_pairs = pairs(columns, key_columns, *steps)
    inner = heads * (channels // heads)  # mmcv's heads have C // M features
    half = (channels if position_dim is None else position_dim) // 2
    table = row_pairs + column_pairs
    positions = (
        ("T C²/2", table * half * inner),
        ("R C", (rows * column_pairs + columns * row_pairs) * inner),
        ("T C", table * inner),
    )
    found = products(
        terms,
        rows * columns,
        key_rows * key_columns,
        row_pairs * column_pairs,
        (channels, channels, inner),
        positions,
        pooled=terms == "0010" and spatial_range is None,
    )
    gamma = 1
    learned = weights(terms, (channels, channels, inner), 2 * half)
    return ClosedForm(found, learned + channels + gamma)


def dynamic(size: tuple[int, int], channels: int, *, heads: int, kernel_size: int) -> ClosedForm:
    """Return the cost of dynamic convolution: kernels, their application, the two projections.

    All taps at all positions are canonical, even those that see the zeros beyond the border.
    """
    positions, taps = size[0] * size[1], kernel_size**2
    found = (
        ("N C²", positions * channels**2),  # values
        ("N M k² C", positions * heads * taps * channels),  # kernels
        ("N k² C", positions * taps * channels),
        ("N C²", positions * channels**2),  # output
    )
    gamma = 1
    return ClosedForm(found, 2 * channels**2 + heads * taps * channels + channels + gamma)


def deformable(
    size: tuple[int, int], channels: int, *, kernel_size: int = 3, deform_groups: int = 1
) -> ClosedForm:
    """Return the cost of the offsets; `size` is that of the convolution's output.

    The product belongs to the convolution that deformable convolution replaces.
    """
    offsets = 2 * kernel_size**2 * deform_groups
    learned = offsets * kernel_size**2 * channels
    return ClosedForm((("2 N k⁴ C", size[0] * size[1] * learned),), learned + offsets)


def spatial_transformer(size: tuple[int, int], channels: int, *, transform: str) -> ClosedForm:
    """Return the cost of the network that says how a map is moved.

    The grid and the interpolation are no products.
    """
    kernel, inner, cells, hidden = LOCALISATION
    taps = kernel**2
    rows, columns = (-(-length // 2) for length in size)
    fewer = -(-rows // 2) * -(-columns // 2)
    outputs = len(START[transform])
    found = (
        (f"{taps} C D N/4", taps * channels * inner * rows * columns),
        (f"{taps} D² N/16", taps * inner**2 * fewer),
        (f"{cells**2} D F", inner * cells**2 * hidden),
        (f"{outputs} F", hidden * outputs),
    )
    convolutions = (taps * channels + 1) * inner + (taps * inner + 1) * inner
    layers = (inner * cells**2 + 1) * hidden + (hidden + 1) * outputs
    return ClosedForm(found, convolutions + layers)
