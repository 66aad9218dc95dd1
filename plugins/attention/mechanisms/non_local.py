"""Non-local blocks, the word ``nonlocal``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.in_block import InBlock
from plugins.attention.core.mechanism import Places
from plugins.attention.core.site import MapSite, Place, Site

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["NonLocal"]


class NonLocal(InBlock):
    """A mean over all positions, weighted by a function of the contents of both.

    Attributes
    ----------
    mode: str
        The function.
    subsample: bool
        Whether each 2x2 keys and values are pooled to their maximum.
    reduction: int
        Channels of the map to a channel inside of the block.
    batch_norm: bool
        Whether batch normalisation follows the last projection.
    """

    name = "nonlocal"
    formula = "softmax_k(θ(x_q)·φ(x_k) / √D)"
    paper = "Wang et al. 2018, Non-local Neural Networks"
    url = "https://arxiv.org/abs/1711.07971"
    places: ClassVar[Places] = {MapSite: (Place.AFTER, Place.BACKBONE, Place.BRANCH)}

    mode: Literal["embedded_gaussian", "gaussian", "dot_product", "concatenation"] = (
        "embedded_gaussian"
    )
    subsample: bool = False
    reduction: int = Field(2, ge=1)
    batch_norm: bool = False

    def check(self, site: Site) -> None:
        """Refuse a reduction that leaves no channel."""
        assert isinstance(site, MapSite)
        super().check(site)
        if 0 < site.channels < self.reduction:
            raise ValueError(
                f"a reduction of {self.reduction} leaves none of {site.channels} channels;"
                f" {site.channels} is the largest"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, MapSite)
        from plugins.attention.maps.non_local import NonLocal2d

        return NonLocal2d(
            site.channels,
            mode=self.mode,
            subsample=self.subsample,
            reduction=self.reduction,
            batch_norm=self.batch_norm,
        )

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form, in which pairs are concatenated where the definition does so.

        What is pooled has been projected before, at all positions.
        """
        assert isinstance(site, MapSite)
        (height, width), channels = site.size, site.channels
        inner, step = channels // self.reduction, 2 if self.subsample else 1
        positions = height * width
        pairs = positions * max(1, height // step) * max(1, width // step)
        projection = ("N C D", positions * channels * inner)
        energies = {
            "gaussian": (("P C", pairs * channels),),
            "embedded_gaussian": (projection, projection, ("P D", pairs * inner)),
            "dot_product": (projection, projection, ("P D", pairs * inner)),
            "concatenation": (projection, projection, *[("P D", pairs * inner)] * 2),
        }[self.mode]
        products = (*energies, projection, ("P D", pairs * inner), projection)
        learned = (channels + 1) * inner  # g
        if self.mode != "gaussian":
            learned += 2 * (channels + 1) * inner
        if self.mode == "concatenation":
            learned += 2 * inner
        learned += inner * channels + channels * (2 if self.batch_norm else 1)
        return ClosedForm(products, learned)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the weights of `queries`; those of the last two modes are not 1 in sum."""
        return {"weights": module.weights_at(inputs[0], queries)}
