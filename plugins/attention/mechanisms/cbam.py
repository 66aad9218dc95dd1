"""Convolutional block attention, the word ``cbam``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.in_block import InBlock
from plugins.attention.core.mechanism import Places
from plugins.attention.core.site import MapSite, Place, Site
from plugins.attention.maps.gates import cost

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ConvolutionalBlock"]


class ConvolutionalBlock(InBlock):
    """A gate for each channel, then one for each position.

    Attributes
    ----------
    reduction: int
        Channels to a hidden unit of the channel gate.
    kernel: int
        Taps of the spatial gate along each axis.
    """

    name = "cbam"
    formula = "σ(MLP(mean) + MLP(max)), σ(f[max; mean])"
    paper = "Woo et al. 2018, CBAM: Convolutional Block Attention Module"
    url = "https://arxiv.org/abs/1807.06521"
    places: ClassVar[Places] = {MapSite: (Place.AFTER, Place.BRANCH, Place.BACKBONE)}

    reduction: int = Field(16, ge=1)
    kernel: int = Field(7, ge=1)

    @field_validator("kernel")
    @classmethod
    def _is_odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("a kernel with a middle has an odd number of taps")
        return kernel

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, MapSite)
        from plugins.attention.maps.gates.cbam import CBAM

        return CBAM(site.channels, self.reduction, self.kernel)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form."""
        assert isinstance(site, MapSite)
        return cost.cbam(site.size, site.channels, reduction=self.reduction, kernel=self.kernel)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the gates of channels and of positions."""
        (x,) = inputs
        return {"gate": module.gate(x), "mask": module.mask(module.by_channel(x))}
