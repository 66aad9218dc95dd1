"""The products of generalized attention, which maps and sequences have in common.

The closed forms count the dense definition as mmcv's module evaluates it:

- a query for each position even where the weights are the same for all of them; the one exception
  is `0010` without a mask or a range, which has one query and one output, as in mmcv;
- the learned vectors u and v are added to the query, so that E3 beside E1 and E4 beside E2 are
  free;
- on feature maps rows and columns are encoded apart, and each table of one axis is projected; in
  sequences each distinct offset is projected once, as in Transformer-XL;
- with a spatial range, a product over pairs (energies, tables, weights times values) counts only
  the pairs within the window, axis by axis; the projections of contents count in full;
- pairs that a causal mask hides count nevertheless.
"""

from __future__ import annotations

__all__ = ["Product", "pairs", "products", "weights"]

Product = tuple[str, int]


def products(
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


def weights(terms: str, widths: tuple[int, int, int], position_dim: int) -> int:
    """All parameters but biases of projections and gamma."""
    e1, e2, e3, e4 = (bit == "1" for bit in terms)
    channels, key_channels, inner = widths
    features = channels + key_channels  # output, values
    features += channels * (e1 or e2) + key_channels * (e1 or e3) + position_dim * (e2 or e4)
    return inner * (features + e3 + e4)


def pairs(queries: int, keys: int, q_stride: int, kv_stride: int, within: int | None) -> int:
    """Pairs of query and key along one axis that lie at most `within` input positions apart."""
    if within is None:
        return queries * keys
    total = 0
    for query in range(0, queries * q_stride, q_stride):
        first = max(0, -(-(query - within) // kv_stride))
        last = min(keys - 1, (query + within) // kv_stride)
        total += max(0, last - first + 1)
    return total
