"""Gather-excite, the word ``gather_excite``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.in_block import InBlock
from plugins.attention.core.mechanism import Places
from plugins.attention.core.site import MapSite, Place, Site
from plugins.attention.maps.gates import cost

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["GatherExcite"]

EXTENTS = (2, 4, 8)


class GatherExcite(InBlock):
    """A gate for each channel, from what is around a position.

    Attributes
    ----------
    parameters: {"none", "some", "plus"}
        Whether it gathers by pooling (the paper's theta-), by convolutions (theta), or by these and
        has two more layers (theta+).
    extent: int
        Positions from one cell to the next that are gathered, 2, 4 or 8; 0: all positions.
    """

    name = "gather_excite"
    formula = "σ(nearest(gather(x)))"
    paper = "Hu et al. 2018, Gather-Excite: Exploiting Feature Context in CNNs"
    url = "https://arxiv.org/abs/1810.12348"
    places: ClassVar[Places] = {MapSite: (Place.AFTER, Place.BRANCH, Place.BACKBONE)}

    parameters: Literal["none", "some", "plus"] = "none"
    extent: int = 0

    @field_validator("extent")
    @classmethod
    def _is_offered(cls, extent: int) -> int:
        if extent not in (0, *EXTENTS):
            raise ValueError("an extent is 2, 4 or 8, or 0 for the whole map")
        return extent

    @model_validator(mode="after")
    def _fits_any_map(self) -> Self:
        if self.parameters != "none" and self.extent == 0:
            raise ValueError(
                f"parameters={self.parameters} with the whole map as the extent would need kernels"
                " of the map's size, and maps differ in size; add extent=2, 4 or 8"
            )
        return self

    def check(self, site: Site) -> None:
        """Refuse pretrained features that it cannot spare, and a map that is a single cell."""
        assert isinstance(site, MapSite)
        super().check(site)
        if self.parameters == "none" and site.pretrained:
            raise ValueError(
                "without parameters its gates cannot start open: they would take up to half of what"
                " each block of the pretrained backbone passes on; parameters=some:extent=4 can,"
                " and without pretrained weights any"
            )
        if self.extent and 0 < max(site.size) <= self.extent:
            height, width = site.size
            raise ValueError(
                f"extent {self.extent} makes one cell of the whole map, which is {height}x{width}"
                " there at most; take a smaller extent, or 0 for the whole map on purpose"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, MapSite)
        from plugins.attention.maps.gates.gather_excite import GatherExcite2d

        return GatherExcite2d(site.channels, self.parameters, self.extent)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form."""
        assert isinstance(site, MapSite)
        return cost.gather_excite(
            site.size, site.channels, parameters=self.parameters, extent=self.extent
        )

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the gates' mean over the cells, and over the channels where cells differ."""
        gate: Tensor = module.gate(inputs[0])
        found = {"gate": gate.mean(dim=(2, 3))}
        return {**found, "mask": gate.mean(dim=1)} if self.extent else found
