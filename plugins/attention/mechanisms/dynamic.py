"""Dynamic convolution, the word ``dynamic``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import MapSite, Place, SequenceSite, Site
from plugins.attention.maps import cost as on_maps
from plugins.attention.sequences import cost as in_sequences

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Dynamic"]

TAPS = 3  # along an axis, without a range


class Dynamic(Mechanism):
    """A kernel for each position, computed from the content there.

    Attributes
    ----------
    spatial_range: int, optional
        Positions that the kernel reaches on each side of an axis; None: three taps an axis.
    """

    name = "dynamic"
    formula = "softmax_p(d_p·x_q) if k = q + p"
    paper = "Wu et al. 2019, Pay Less Attention with Lightweight and Dynamic Convolutions"
    url = "https://arxiv.org/abs/1901.10430"
    places: ClassVar[Places] = {
        MapSite: (Place.AFTER, Place.BACKBONE),
        SequenceSite: (Place.ATTENTION,),
    }
    uses = frozenset({"heads", "kv_stride"})  # the stride is unused, but run ids hash it
    module_name = "dynamic_conv_block"

    spatial_range: int | None = Field(None, ge=1)

    def taps(self, site: Site) -> int:
        """Return the taps along an axis; k + 1 for a range k if keys lie on one side only."""
        if self.spatial_range is None:
            return TAPS
        causal = isinstance(site, SequenceSite) and site.causal
        return self.spatial_range + 1 if causal else 2 * self.spatial_range + 1

    def check(self, site: Site) -> None:
        """Refuse to stand between two sequences."""
        if isinstance(site, SequenceSite) and site.cross:
            raise ValueError(
                "convolutions are compared in self-attention only, since source and target"
                " positions are not on one grid"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        if isinstance(site, MapSite):
            from plugins.attention.maps.dynamic import DynamicConv2d

            return DynamicConv2d(site.channels, heads=site.heads, kernel_size=self.taps(site))
        assert isinstance(site, SequenceSite)
        from plugins.attention.sequences.dynamic import GatedDynamicConv1d

        return GatedDynamicConv1d(
            site.channels, heads=site.heads, kernel_size=self.taps(site), causal=site.causal
        )

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form; in sequences the two projections count."""
        assert isinstance(site, MapSite | SequenceSite)
        options = {"heads": site.heads, "kernel_size": self.taps(site)}
        if isinstance(site, MapSite):
            return on_maps.dynamic(site.size, site.channels, **options)
        return in_sequences.dynamic(site.queries, site.channels, **options)
