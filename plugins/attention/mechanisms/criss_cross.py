"""Criss-cross attention, the word ``criss_cross``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import MapSite, Place, Site

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["CrissCross"]

REDUCTION = 8  # channels to a feature of queries and keys


class CrissCross(Mechanism):
    """Attention to the query's row and column, repeated with the same parameters.

    Attributes
    ----------
    recurrences: int
        How often; with two, every position sees every other.
    """

    name = "criss_cross"
    formula = "softmax_k(q·k) if k in row or column of q"
    paper = "Huang et al. 2019, CCNet: Criss-Cross Attention for Semantic Segmentation"
    url = "https://arxiv.org/abs/1811.11721"
    places: ClassVar[Places] = {MapSite: (Place.AFTER, Place.BACKBONE)}

    recurrences: int = Field(2, ge=1)

    def check(self, site: Site) -> None:
        """Refuse a map whose channels leave queries and keys without a feature."""
        assert isinstance(site, MapSite)
        if 0 < site.channels < REDUCTION:
            raise ValueError(
                f"queries and keys have an eighth of the channels, and of {site.channels} that is"
                " none; there must be 8"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, MapSite)
        from plugins.attention.maps.criss_cross import CrissCross2d

        return CrissCross2d(site.channels, self.recurrences)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form; the H + W - 1 keys of a query count once a recurrence."""
        assert isinstance(site, MapSite)
        (height, width), channels = site.size, site.channels
        positions, inner = height * width, channels // REDUCTION
        pairs = positions * (height + width - 1)
        once = (
            ("N C D", positions * channels * inner),  # queries
            ("N C D", positions * channels * inner),  # keys
            ("P D", pairs * inner),
            ("N C²", positions * channels**2),  # values
            ("P C", pairs * channels),
        )
        gamma = 1
        learned = 2 * (channels + 1) * inner + (channels + 1) * channels + gamma
        return ClosedForm(once * self.recurrences, learned)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return what `queries` receive of each position, by all recurrences together."""
        return {"weights": module.weights_at(inputs[0], queries)}
