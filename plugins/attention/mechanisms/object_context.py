"""Object context, the word ``object_context``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import MapSite, Place, Site
from plugins.attention.maps.blocks import GRIDS, blocks

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ObjectContext"]

LEAST = {"base": 2, "pyramid": 2, "asp": 4}
"""Channels that leave a key one feature."""


class ObjectContext(Mechanism):
    """A map beside what each position receives of those that are like it.

    Attributes
    ----------
    form: str
        Whether the positions are those of the whole map, of the blocks of a pyramid of grids, or
        pooled ones, beside dilated convolutions.
    """

    name = "object_context"
    formula = "softmax_k(f(x_q)·f(x_k) / √D)"
    paper = "Yuan and Wang 2018, OCNet: Object Context Network for Scene Parsing"
    url = "https://arxiv.org/abs/1809.00916"
    places: ClassVar[Places] = {MapSite: (Place.AFTER, Place.BACKBONE)}

    form: Literal["base", "pyramid", "asp"] = "base"

    def check(self, site: Site) -> None:
        """Refuse a pretrained backbone, and a map whose channels leave a key none."""
        assert isinstance(site, MapSite)
        if site.pretrained:
            raise ValueError(
                "it replaces what it sees and does not start as the identity, so that pretrained"
                " weights behind it would lose their worth; it can stand at 'head', or in a"
                " backbone that starts at random"
            )
        if 0 < site.channels < LEAST[self.form]:
            raise ValueError(
                f"of {site.channels} channels keys have none; there must be {LEAST[self.form]}"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, MapSite)
        from plugins.attention.maps.object_context import object_context

        return object_context(site.channels, self.form)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form; queries are keys, and are projected once."""
        assert isinstance(site, MapSite)
        count = {"base": _base, "pyramid": _pyramid, "asp": _asp}[self.form]
        return count(*site.size, site.channels)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the weights of `queries`, of a pyramid a map for each grid."""
        return {"weights": module.weights_at(inputs[0], queries)}


def _base(height: int, width: int, c: int) -> ClosedForm:
    n, d = height * width, c // 2
    products = (
        *(("N C D", n * c * d),) * 3,  # keys, values, context
        *(("P D", n**2 * d),) * 2,
        *(("N C²", n * c**2),) * 2,
    )
    return ClosedForm(products, _attention(c, c, d, d) + _convolution(2 * c, c))


def _pyramid(height: int, width: int, c: int) -> ClosedForm:
    n, d, grids = height * width, c // 2, len(GRIDS)
    pairs = sum(_squares(height, grid) * _squares(width, grid) for grid in GRIDS)
    products = (
        *(("N C D", n * c * d),) * grids,  # keys
        ("P D", pairs * d),
        ("P C", pairs * c),
        *(("N C²", n * c**2),) * (5 * grids),  # values, contexts, what stands beside, the fusion
    )
    learned = grids * _attention(c, c, d, c)
    return ClosedForm(
        products, learned + _convolution(c, grids * c) + _convolution(2 * grids * c, c)
    )


def _asp(height: int, width: int, c: int) -> ClosedForm:
    n, d, key = height * width, c // 2, c // 4
    pooled = max(1, height // 2) * max(1, width // 2)
    products = (
        ("36 N C D", 36 * n * c * d),  # four 3x3
        ("N C D", n * c * d),
        ("5 N C D", 5 * n * c * d),  # the fusion
        ("5 K D²/2", pooled * (d * key + 2 * d**2)),  # keys, values, context
        ("3 P D/2", pooled**2 * (key + d)),
        ("N D²", n * d**2),
    )
    learned = 4 * _convolution(c, d, 9) + _convolution(c, d) + _attention(d, d, key, d)
    return ClosedForm(products, learned + _convolution(d, d) + _convolution(5 * d, c))


def _squares(length: int, grid: int) -> int:
    return sum((part.stop - part.start) ** 2 for part in blocks(length, grid))


def _attention(channels: int, out: int, key: int, value: int) -> int:
    """Parameters of one attention, with the biases of values and context."""
    return _convolution(channels, key) + (channels + 1) * value + (value + 1) * out


def _convolution(channels: int, features: int, taps: int = 1) -> int:
    """Parameters of a convolution and its batch normalisation."""
    return taps * channels * features + 2 * features
