"""Squeeze-and-excitation, the word ``squeeze_excite``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.in_block import InBlock
from plugins.attention.core.mechanism import Places
from plugins.attention.core.site import MapSite, Place, Site
from plugins.attention.maps.gates import cost

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["SqueezeExcite"]


class SqueezeExcite(InBlock):
    """A gate for each channel, from the means of all.

    Attributes
    ----------
    reduction: int
        Channels to a hidden unit.
    """

    name = "squeeze_excite"
    formula = "σ(W_2 relu(W_1 mean))"
    paper = "Hu et al. 2018, Squeeze-and-Excitation Networks"
    url = "https://arxiv.org/abs/1709.01507"
    places: ClassVar[Places] = {MapSite: (Place.AFTER, Place.BRANCH, Place.BACKBONE)}

    reduction: int = Field(16, ge=1)

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, MapSite)
        from plugins.attention.maps.gates.squeeze_excite import SqueezeExcite2d

        return SqueezeExcite2d(site.channels, self.reduction)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form."""
        assert isinstance(site, MapSite)
        return cost.squeeze_excite(site.channels, reduction=self.reduction)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the gates."""
        return {"gate": module.gate(inputs[0])}
