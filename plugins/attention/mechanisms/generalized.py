"""Generalized attention, the 16 words E1E2E3E4 from ``0000`` to ``1111``.

The closed forms count the dense definition as mmcv's module evaluates it:

- a query for each position even where the weights are the same for all of them; the one exception
  is `0010` without a mask or a range, which has one query and one output, as in mmcv;
- the learned vectors u and v are added to the query, so that E3 beside E1 and E4 beside E2 are
  free;
- on feature maps rows and columns are encoded apart, and each table of one axis is projected; in
  sequences each distinct offset is projected once, as in Transformer-XL;
- of a spatial range only the pairs within the window count, axis by axis, wherever a product is
  over pairs: energies, tables, weights times values. The projections of contents count in full;
- a causal mask hides pairs, which count nevertheless.
"""

from __future__ import annotations

from typing import Any

from plugins.attention.core.registry import ClosedForm, Registered, register
from plugins.attention.core.word import TERM_SETS, Mechanism

__all__ = ["Generalized"]

ENERGIES = ("q·k", "q·r", "u·k", "v·r")


@register(*TERM_SETS)
class Generalized(Registered):
    """Transformer attention with those energies that are switched on."""

    paper = "Zhu et al. 2019, An Empirical Study of Spatial Attention Mechanisms in Deep Networks"
    url = "https://arxiv.org/abs/1904.05873"
    ranged = True
    block = "plugins.attention.maps.generalized.GeneralizedAttention2d"
    sequence = "plugins.attention.sequences.generalized.GeneralizedAttention1d"

    def __init__(self, word: str) -> None:
        super().__init__(word)
        on = [energy for energy, bit in zip(ENERGIES, word, strict=True) if bit == "1"]
        self.formula = f"softmax_k({' + '.join(on)})" if on else "1 / K"

    def block_arguments(self, mechanism: Mechanism, heads: int, kv_stride: int) -> dict[str, Any]:
        """Refuse a range that leaves queries between the keys without any."""
        within = mechanism.spatial_range
        if within is not None and within < kv_stride - 1:
            raise ValueError(
                f"mechanism {mechanism}: with kv_stride {kv_stride} a range below {kv_stride - 1} "
                "leaves queries without any key"
            )
        return {
            "heads": heads,
            "terms": self.word,
            "kv_stride": kv_stride,
            "spatial_range": within,
        }

    def block_cost(
        self,
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
        """Return the cost of the block on a map of `size` (H, W)."""
        rows, columns = (-(-length // q_stride) for length in size)
        key_rows, key_columns = (-(-length // kv_stride) for length in size)
        steps = (q_stride, kv_stride, spatial_range)
        row_pairs = _pairs(rows, key_rows, *steps)
        column_pairs = _pairs(columns, key_columns, *steps)
        inner = heads * (channels // heads)  # mmcv's heads have C // M features
        half = (channels if position_dim is None else position_dim) // 2
        table = row_pairs + column_pairs
        positions = (
            ("T C²/2", table * half * inner),
            ("R C", (rows * column_pairs + columns * row_pairs) * inner),
            ("T C", table * inner),
        )
        products = _products(
            terms,
            rows * columns,
            key_rows * key_columns,
            row_pairs * column_pairs,
            (channels, channels, inner),
            positions,
            pooled=terms == "0010" and spatial_range is None,
        )
        gamma = 1
        weights = _weights(terms, (channels, channels, inner), 2 * half)
        return ClosedForm(products, weights + channels + gamma)

    def sequence_arguments(
        self, mechanism: Mechanism, heads: int, causal: bool, key_channels: int | None
    ) -> dict[str, Any]:
        """Pass the bits on."""
        return {
            "heads": heads,
            "terms": self.word,
            "key_channels": key_channels,
            "spatial_range": mechanism.spatial_range,
        }

    def sequence_cost(
        self,
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
        """Return the cost of attention from `queries` to `keys` positions."""
        key_channels = channels if key_channels is None else key_channels
        pairs = _pairs(queries, keys, 1, 1, spatial_range)
        encoded = channels if position_dim is None else position_dim
        behind, ahead = keys - 1, queries - 1
        if spatial_range is not None:
            behind, ahead = min(behind, spatial_range), min(ahead, spatial_range)
        offsets = behind + 1 + ahead
        widths = (channels, key_channels, channels)
        products = _products(
            terms,
            queries,
            keys,
            pairs,
            widths,
            (
                ("T C²", offsets * encoded * channels),
                ("P C", pairs * channels),
                ("T C", offsets * channels),
            ),
            pooled=terms == "0010" and spatial_range is None and not causal,
        )
        biases = 2 * channels  # of the value and of the output projection
        return ClosedForm(products, _weights(terms, widths, encoded) + biases)


Product = tuple[str, int]


def _products(
    terms: str,
    queries: int,
    keys: int,
    pairs: int,
    widths: tuple[int, int, int],
    positions: tuple[Product, Product, Product],
    pooled: bool,
) -> tuple[Product, ...]:
    """All products of the definition.

    `widths` are the features of queries, of keys and of all heads together; `positions` are the
    products that encode positions, and that multiply them by queries or by v alone. `pooled` says
    that one query stands for all.
    """
    e1, e2, e3, e4 = (bit == "1" for bit in terms)
    channels, key_channels, inner = widths
    products: list[Product] = []
    if e1 or e2:
        products.append(("N C²", queries * channels * inner))
    if e1 or e3:
        products.append(("K C²", keys * key_channels * inner))
        products.append(("P C", pairs * inner) if e1 else ("K C", keys * inner))
    if e2 or e4:
        encode, by_query, by_vector = positions
        products += [encode, by_query if e2 else by_vector]
    # Values, weights times values, output.
    products.append(("K C²", keys * key_channels * inner))
    if pooled:
        products += [("K C", keys * inner), ("C²", inner * channels)]
    else:
        products += [("P C", pairs * inner), ("N C²", queries * inner * channels)]
    return tuple(products)


def _weights(terms: str, widths: tuple[int, int, int], position_dim: int) -> int:
    """All parameters but biases of projections and gamma."""
    e1, e2, e3, e4 = (bit == "1" for bit in terms)
    channels, key_channels, inner = widths
    features = channels + key_channels  # output, values
    features += channels * (e1 or e2) + key_channels * (e1 or e3) + position_dim * (e2 or e4)
    return inner * (features + e3 + e4)


def _pairs(queries: int, keys: int, q_stride: int, kv_stride: int, within: int | None) -> int:
    """Pairs of query and key along one axis that lie at most `within` input positions apart."""
    if within is None:
        return queries * keys
    total = 0
    for query in range(0, queries * q_stride, q_stride):
        first = max(0, -(-(query - within) // kv_stride))
        last = min(keys - 1, (query + within) // kv_stride)
        total += max(0, last - first + 1)
    return total
