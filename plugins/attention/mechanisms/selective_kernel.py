"""Selective kernels, the word ``selective_kernel``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import MapSite, Place, Site
from plugins.attention.maps.gates import cost

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["SelectiveKernel"]


class SelectiveKernel(Mechanism):
    """Branches of the convolution that reach less and more far, weighed for each channel.

    The product of the first branch belongs to the convolution that is replaced; the mechanism costs
    the other branches and the selection.

    Attributes
    ----------
    reduction: int
        Channels to a hidden unit of the selection, which has 32 at least.
    branches: int
        Convolutions, dilated by 1, 2, ...
    """

    name = "selective_kernel"
    formula = "Σ_i softmax_i(A_i z) U_i"
    paper = "Li et al. 2019, Selective Kernel Networks"
    url = "https://arxiv.org/abs/1903.06586"
    places: ClassVar[Places] = {MapSite: (Place.INSTEAD,)}

    reduction: int = Field(16, ge=1)
    branches: int = Field(2, ge=2, le=8)

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, MapSite)
        assert site.convolution is not None
        from plugins.attention.maps.gates.selective_kernel import SelectiveKernel2d

        options: dict[str, Any] = {"reduction": self.reduction, "branches": self.branches}
        return SelectiveKernel2d(**asdict(site.convolution), **options)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form at a site with the size of the convolution's output."""
        assert isinstance(site, MapSite)
        options: dict[str, Any] = {"reduction": self.reduction, "branches": self.branches}
        if (replaced := site.convolution) is None:
            return cost.selective_kernel(site.size, site.channels, **options)
        return cost.selective_kernel(
            site.size,
            replaced.out_channels,
            in_channels=replaced.in_channels,
            kernel_size=replaced.kernel_size,
            bias=replaced.bias,
            **options,
        )

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return how much of each channel comes from each branch."""
        gates = module.gates(module.convolved(inputs[0])).unbind(dim=1)
        return {f"gate_{branch}": gate for branch, gate in enumerate(gates, 1)}
