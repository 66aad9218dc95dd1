"""Canonical cost of the mechanisms over sequences, from shapes alone. Imports no torch."""

from __future__ import annotations

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.products import pairs, products, weights

__all__ = ["deformable", "dynamic", "generalized"]


def generalized(
    queries: int,
    keys: int,
    channels: int,
    *,
    heads: int,
    terms: str,
    causal: bool = False,
    key_channels: int | None = None,
    spatial_range: int | None = None,
    position_dim: int | None = None,
) -> ClosedForm:
    """Return the cost of generalized attention from `queries` to `keys` positions.

    The arguments are those of ``GeneralizedAttention1d``; :mod:`plugins.attention.core.products`
    says what is counted.
    """
    key_channels = channels if key_channels is None else key_channels
    seen = pairs(queries, keys, 1, 1, spatial_range)
    encoded = channels if position_dim is None else position_dim
    behind, ahead = keys - 1, queries - 1
    if spatial_range is not None:
        behind, ahead = min(behind, spatial_range), min(ahead, spatial_range)
    offsets = behind + 1 + ahead
    widths = (channels, key_channels, channels)
    found = products(
        terms,
        queries,
        keys,
        seen,
        widths,
        (
            ("T C²", offsets * encoded * channels),
            ("P C", seen * channels),
            ("T C", offsets * channels),
        ),
        pooled=terms == "0010" and spatial_range is None and not causal,
    )
    biases = 2 * channels  # of the value and of the output projection
    return ClosedForm(found, weights(terms, widths, encoded) + biases)


def dynamic(queries: int, channels: int, *, heads: int, kernel_size: int) -> ClosedForm:
    """Return the cost of dynamic convolution between two projections, the first of them gated."""
    found = (
        ("N M k C", queries * heads * kernel_size * channels),
        ("N k C", queries * kernel_size * channels),
        ("3 N C²", queries * 3 * channels**2),  # C to 2 C, halved by the gate, and C to C
    )
    learned = heads * kernel_size * channels + 3 * channels**2 + 3 * channels
    return ClosedForm(found, learned)


def deformable(queries: int, channels: int, *, kernel_size: int = 3) -> ClosedForm:
    """Return the cost of the offsets and of the convolution."""
    found = (
        ("N k C", queries * kernel_size * channels),
        ("N k C²", queries * kernel_size * channels**2),
    )
    learned = kernel_size * (channels + 1) + kernel_size * channels**2 + channels
    return ClosedForm(found, learned)
