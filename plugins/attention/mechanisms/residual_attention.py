"""Residual attention, the word ``residual_attention``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import MapSite, Place, Site
from plugins.attention.maps.gates import cost

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ResidualAttention"]


class ResidualAttention(Mechanism):
    """A mask for each channel at each position, by a branch that halves the map and enlarges it.

    Attributes
    ----------
    levels: int
        How often it is halved. The paper's network does so once in conv4, twice in conv3, three
        times in conv2; 1 since conv4 and conv5 are the study's usual sites.
    """

    name = "residual_attention"
    formula = "(1 + M(x)) x"
    paper = "Wang et al. 2017, Residual Attention Network for Image Classification"
    url = "https://arxiv.org/abs/1704.06904"
    places: ClassVar[Places] = {MapSite: (Place.AFTER, Place.BRANCH, Place.BACKBONE)}

    levels: int = Field(1, ge=1, le=3)

    def check(self, site: Site) -> None:
        """Refuse a map of which a single position is left."""
        assert isinstance(site, MapSite)
        if 0 < max(site.size) <= 2**self.levels:
            height, width = site.size
            most = (max(site.size) - 1).bit_length() - 1
            hint = f"; levels={most} is the most" if most > 0 else ""
            raise ValueError(
                f"levels={self.levels} leaves a single position of the map, which is"
                f" {height}x{width} there at most{hint}"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, MapSite)
        from plugins.attention.maps.residual_attention import ResidualAttention2d

        return ResidualAttention2d(site.channels, self.levels)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form."""
        assert isinstance(site, MapSite)
        return cost.residual_attention(site.size, site.channels, levels=self.levels)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the mask's mean over positions, and over channels."""
        mask: Tensor = module.mask(inputs[0])
        return {"gate": mask.mean(dim=(2, 3)), "mask": mask.mean(dim=1)}
