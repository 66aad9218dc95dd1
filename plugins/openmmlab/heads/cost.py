"""Closed forms of MMSegmentation's heads: of what counts as the mechanism, for one map.

All take height and width of the map, the channels C of the head and those B of the backbone's map.
Numbers within are those of the configs that MMSegmentation ships. Convolutions that are normalised
have no bias.
"""

from __future__ import annotations

from math import ceil

from plugins.attention.core.closed_form import ClosedForm

__all__ = ["ann", "apc", "aspp", "danet", "dm", "dnl", "ema", "isa", "mask_size", "psa", "psp"]

POOLS = (1, 2, 3, 6)
"""Cells an axis of the maps that PSPNet and APCNet pool."""
CELLS = sum(pool**2 for pool in POOLS)
ASYMMETRIC_KEYS = 1**2 + 3**2 + 6**2 + 8**2
FILTERS = (1, 3, 5, 7)
TAPS = sum(size**2 for size in FILTERS)
GROUP = 8
"""Positions an axis of a local group of interlaced attention."""
BASES, STEPS = 64, 3
SHRINK = 2


def _normed(channels: int, features: int) -> int:
    """Parameters of a 1x1 convolution and its normalisation."""
    return channels * features + 2 * features


def _biased(channels: int, features: int) -> int:
    """Parameters of a 1x1 convolution with a bias."""
    return (channels + 1) * features


def danet(height: int, width: int, c: int, b: int) -> ClosedForm:
    """Attention of positions, with D = C/8, and of channels."""
    n, d = height * width, max(1, c // 8)
    products = (
        *(("N C D", n * c * d),) * 2,
        ("P D", n**2 * d),
        ("P C", n**2 * c),
        *(("N C²", n * c**2),) * 3,  # values; energies and mean of channels
    )
    scales = 2
    return ClosedForm(products, 2 * _biased(c, d) + _biased(c, c) + scales)


def isa(height: int, width: int, c: int, b: int) -> ClosedForm:
    """Attention among positions 8 apart, then within 8x8, with D = C/2; the map is padded."""
    d, groups = max(1, c // 2), ceil(height / GROUP) * ceil(width / GROUP)
    n = groups * GROUP**2
    pairs = n * (groups + GROUP**2)
    products = (
        *(("N C D", n * c * d),) * 4,
        *(("N D²", n * d**2),) * 4,
        *(("N C²", n * c**2),) * 4,  # values and outputs
        ("P D", pairs * d),
        ("P C", pairs * c),
    )
    learned = 2 * (_normed(c, d) + _normed(d, d)) + _biased(c, c) + _normed(c, c)
    return ClosedForm(products, 2 * learned)


def dnl(height: int, width: int, c: int, b: int) -> ClosedForm:
    """A non-local block with D = C/2, and one mean for all queries."""
    n, d = height * width, c // 2
    products = (
        *(("N C D", n * c * d),) * 4,
        *(("P D", n**2 * d),) * 2,
        ("N C", n * c),
        ("N D", n * d),
    )
    return ClosedForm(products, 3 * _biased(c, d) + _normed(d, c) + _biased(c, 1))


def ema(height: int, width: int, c: int, b: int) -> ClosedForm:
    """Three steps of expectation and maximisation to D = 64 bases, and the reconstruction."""
    n = height * width
    products = (
        *(("N C²", n * c**2),) * 2,
        *(("N C D", n * c * BASES),) * (2 * STEPS + 1),
    )
    return ClosedForm(products, _biased(c, c) + _normed(c, c))


def mask_size(height: int, width: int) -> tuple[int, int]:
    """Return the size of the masks of PSANet that reach every position from every other."""
    shrunk = _shrunk(height, width)
    return 2 * shrunk[0] - 1, 2 * shrunk[1] - 1


def _shrunk(height: int, width: int) -> tuple[int, int]:
    # As in PSAHead: rounded up if both are odd.
    up = height % SHRINK and width % SHRINK
    return (height + bool(up)) // SHRINK, (width + bool(up)) // SHRINK


def psa(height: int, width: int, c: int, b: int) -> ClosedForm:
    """The whole head but its classifier, with D entries in a mask on K positions, P = K²."""
    rows, columns = _shrunk(height, width)
    mask_height, mask_width = mask_size(height, width)
    n, k, d = height * width, rows * columns, mask_height * mask_width
    products = (
        *(("N B C", n * b * c),) * 2,
        *(("K C²", k * c**2),) * 2,
        *(("K C D", k * c * d),) * 2,
        *(("P C", k**2 * c),) * 2,
        ("2 (K + H + W + 4) B C", 2 * (rows + 2) * (columns + 2) * b * c),  # padded by 1
        ("18 N B C", 18 * n * b * c),
    )
    learned = 2 * (_normed(b, c) + _normed(c, c) + c * d) + _normed(2 * c, b)
    return ClosedForm(products, learned + 18 * b * c + 2 * c)


def psp(height: int, width: int, c: int, b: int) -> ClosedForm:
    """A convolution of the cells of each pooled map."""
    return ClosedForm(((f"{CELLS} B C", CELLS * b * c),), len(POOLS) * _normed(b, c))


def aspp(height: int, width: int, c: int, b: int) -> ClosedForm:
    """A 1x1 and three dilated convolutions, and one of the mean."""
    n = height * width
    products = (("28 N B C", 28 * n * b * c), ("B C", b * c))
    return ClosedForm(products, 29 * b * c + 5 * 2 * c)


def apc(height: int, width: int, c: int, b: int) -> ClosedForm:
    """Weights of the cells of each pooled map, from content and mean."""
    n, pools = height * width, len(POOLS)
    products = (
        *(("N B C", n * b * c),) * pools,
        *(("N C²", n * c**2),) * (2 * pools),
        (f"{2 * CELLS} N C", 2 * CELLS * n * c),  # weights, mean
        (f"{CELLS} B C", CELLS * b * c),
        *(("C²", c**2),) * pools,
    )
    learned = pools * (2 * _normed(b, c) + 3 * _normed(c, c)) + _biased(c, CELLS)
    return ClosedForm(products, learned)


def dm(height: int, width: int, c: int, b: int) -> ClosedForm:
    """Depthwise convolutions by filters of 1, 9, 25 and 49 taps that the map gives."""
    n, filters = height * width, len(FILTERS)
    products = (
        *(("N B C", n * b * c),) * filters,
        (f"{TAPS} N C", TAPS * n * c),
        (f"{TAPS} B C", TAPS * b * c),
    )
    norm = 2 * c
    return ClosedForm(products, filters * (_biased(b, c) + _normed(b, c) + norm))


def ann(height: int, width: int, c: int, b: int) -> ClosedForm:
    """Attention of conv5 to pooled conv4, then of the head's map to itself; D = C/2, K = 110 N.

    The second projects queries and keys by one layer, which MMSegmentation evaluates twice.
    """
    n, d, low = height * width, max(1, c // 2), b // 2
    pairs = ASYMMETRIC_KEYS * n
    products = (
        *(("N B D/2", n * low * d),) * 2,
        *(("N B D", n * b * d),) * 2,
        *(("P D", pairs * d),) * 4,
        ("2 N B²", 2 * n * b**2),
        *(("N C D", n * c * d),) * 4,
        ("2 N C²", 2 * n * c**2),
    )
    fusion = _normed(low, d) + _normed(b, d) + _biased(low, d) + _biased(d, b) + _normed(2 * b, b)
    context = _normed(c, d) + _biased(c, d) + _biased(d, c) + _normed(2 * c, c)
    return ClosedForm(products, fusion + context)
