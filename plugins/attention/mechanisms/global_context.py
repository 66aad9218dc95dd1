"""Global context blocks, the word ``global_context``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.in_block import InBlock
from plugins.attention.core.mechanism import Places
from plugins.attention.core.site import MapSite, Place, Site

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["GlobalContext"]


class GlobalContext(InBlock):
    """One mean over all positions, weighted by their contents, for all queries.

    Attributes
    ----------
    reduction: int
        Channels of the map to a hidden channel.
    """

    name = "global_context"
    formula = "softmax_k(w·x_k)"
    paper = "Cao et al. 2019, GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond"
    url = "https://arxiv.org/abs/1904.11492"
    places: ClassVar[Places] = {MapSite: (Place.AFTER, Place.BACKBONE, Place.BRANCH)}

    reduction: int = Field(16, ge=1)

    def check(self, site: Site) -> None:
        """Refuse a single hidden channel, which layer normalisation would set to 0."""
        assert isinstance(site, MapSite)
        super().check(site)
        if site.channels and site.channels // self.reduction < 2:
            raise ValueError(
                f"of {site.channels} channels a reduction of {self.reduction} leaves"
                f" {site.channels // self.reduction}, and layer normalisation needs two;"
                f" {site.channels // 2} is the largest"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, MapSite)
        from plugins.attention.maps.global_context import GlobalContext2d

        return GlobalContext2d(site.channels, self.reduction)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form: energies, the mean, two layers of one position."""
        assert isinstance(site, MapSite)
        positions, channels = site.size[0] * site.size[1], site.channels
        inner = channels // self.reduction
        products = (
            ("N C", positions * channels),
            ("N C", positions * channels),
            ("C D", channels * inner),
            ("C D", channels * inner),
        )
        energy, hidden, scale = channels + 1, (channels + 1) * inner, 2 * inner
        return ClosedForm(products, energy + hidden + scale + (inner + 1) * channels)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the weights, which all `queries` have in common."""
        return {"weights": module.weights_at(inputs[0], queries)}
