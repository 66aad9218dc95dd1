"""Canonical cost of the mechanisms between two sets, from shapes alone. Imports no torch.

Sums and elementwise products are no matrix products and count nothing: of norms, of weights within
a bilinear form, of words.
"""

from __future__ import annotations

from plugins.attention.core.closed_form import ClosedForm

__all__ = ["RANK", "RELATION_LAYERS", "bilinear", "hard", "mean_of_words", "soft"]

RANK = 3
"""Features to each of C in the low-rank form that weighs pairs, in the code of Kim et al. 2018."""

RELATION_LAYERS = 4
"""Layers of the network that sees pairs, Santoro et al. 2017, section 4."""


def soft(
    keys: int, channels: int, key_channels: int, *, hops: int, reduction: int, form: str
) -> ClosedForm:
    """Return the cost of ``SoftAttention``, whose arguments these are."""
    inner = channels // reduction
    hop = (
        ("K C D", keys * channels * inner),
        ("C D", channels * inner),
        ("K D", keys * inner),
        ("K C", keys * channels),
    )
    each = 2 * channels * inner + inner + inner
    if form == "code":
        each += inner + 1  # biases
    products = (("K B C", keys * key_channels * channels), *hop * hops)
    return ClosedForm(products, (key_channels + 1) * channels + hops * each)


def hard(
    keys: int, channels: int, key_channels: int, *, cells: int, pooling: str, layers: int
) -> ClosedForm:
    """Return the cost of ``HardAttention``, whose arguments these are; adaptive, if all are kept.

    The layer that sees both of a pair is applied to each of them once.
    """
    square, kept = channels**2, min(cells, keys) if cells else keys
    products = [("K B C", keys * key_channels * channels), ("C²", square)]
    products += [("K C²", keys * square)] * (layers - 1)
    learned = (key_channels + 1) * channels + square + (layers - 1) * (square + channels)
    if pooling == "pairwise":
        products += [("S C²", kept * square)] * 3 + [("S² C", kept**2 * channels)] * 2
        learned += 3 * (square + channels)
    if pooling == "relation":
        deeper = RELATION_LAYERS - 1
        products += [("S C²", kept * square)] * 2 + [("S² C²", kept**2 * square)] * deeper
        learned += 2 * square + channels + deeper * (square + channels)
    return ClosedForm(tuple(products), learned)


def bilinear(
    queries: int | None, keys: int, channels: int, key_channels: int, *, glimpses: int, joint: str
) -> ClosedForm:
    """Return the cost of ``BilinearAttention``, whose arguments these are.

    `queries` is None where one vector stands for the words.
    """
    square, concatenated = channels**2, joint == "concatenation"
    if queries is None:
        words, pairs = ("C²", square), ("K C", keys * channels)
    else:
        words, pairs = ("N C²", queries * square), ("P C", queries * keys * channels)
    products = (
        *[("K B C", keys * key_channels * channels), words] * (RANK + glimpses),
        *[pairs] * (RANK * glimpses + glimpses),
        *[("C²", square)] * (1 if concatenated else glimpses),
    )
    rank, gain = RANK * channels, 1
    outputs = channels // glimpses if concatenated else channels
    weighing = (key_channels + 1 + channels + 1 + glimpses) * rank + 3 * gain
    glimpse = (key_channels + 1 + channels + 1) * channels + (channels + 1) * outputs + 3 * gain
    return ClosedForm(products, weighing + glimpses * glimpse)


def mean_of_words(queries: int, channels: int) -> ClosedForm:
    """Return the cost of what ``CoAttention`` does before it is ``BilinearAttention``."""
    inner, gain = max(1, channels // 2), 1
    products = (
        ("N C D", queries * channels * inner),
        ("N D", queries * inner),
        ("N C", queries * channels),
    )
    return ClosedForm(products, (channels + 1) * inner + inner + 2 * gain)
