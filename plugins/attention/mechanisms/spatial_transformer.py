"""Spatial transformers, the word ``spatial_transformer``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import MapSite, Place, Site
from plugins.attention.maps import cost

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["SpatialTransformer"]


class SpatialTransformer(Mechanism):
    """Moves an image or a map as a small network says that sees it.

    It has no place within a residual block, whose two ways would no longer fit each other.

    Attributes
    ----------
    transform: {"affine", "attention", "rotation"}
        What it can do: any affine transform; scale and shift; turn.
    """

    name = "spatial_transformer"
    formula = "x(θ·[q, 1])"
    paper = "Jaderberg et al. 2015, Spatial Transformer Networks"
    url = "https://arxiv.org/abs/1506.02025"
    places: ClassVar[Places] = {MapSite: (Place.INPUT, Place.BACKBONE)}

    transform: Literal["affine", "attention", "rotation"] = "affine"

    def check(self, site: Site) -> None:
        """Refuse maps whose positions have labels."""
        assert isinstance(site, MapSite)
        if site.aligned:
            raise ValueError(
                "it moves what the network sees, and boxes or masks would stay where they are in"
                " the image; it is for tasks whose answers have no position, such as classification"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, MapSite)
        from plugins.attention.maps.spatial_transformer import SpatialTransformer2d

        return SpatialTransformer2d(site.channels, self.transform)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form of the network that looks; moving is interpolation."""
        assert isinstance(site, MapSite)
        return cost.spatial_transformer(site.size, site.channels, transform=self.transform)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return where the corners of the result stood."""
        return {"crop": module.crop(inputs[0])}
