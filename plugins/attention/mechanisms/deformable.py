"""Deformable convolution, written behind another word: ``0010+deformable``, ``none+deformable``.

On feature maps it replaces a 3x3 convolution: the product belongs to that convolution, and the
mechanism costs the offsets alone. In a sequence model it is a layer of its own before the
attention, and its whole cost counts.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import MapSite, Place, SequenceSite, Site
from plugins.attention.maps import cost as on_maps
from plugins.attention.sequences import cost as in_sequences

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Deformable"]


class Deformable(Mechanism):
    """Taps that move by learned, content-dependent offsets."""

    name = "deformable"
    formula = "G(k, q + p + w_p·x_q)"
    paper = "Dai et al. 2017, Deformable Convolutional Networks"
    url = "https://arxiv.org/abs/1703.06211"
    places: ClassVar[Places] = {MapSite: (Place.INSTEAD,), SequenceSite: (Place.BEFORE,)}
    beside = True

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
            from plugins.attention.maps.deformable import DeformableConv2d

            assert site.convolution is not None
            return DeformableConv2d(**asdict(site.convolution))
        assert isinstance(site, SequenceSite)
        from plugins.attention.sequences.deformable import DeformableConv1d

        return DeformableConv1d(site.channels, causal=site.causal)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form: of the offsets on maps, of the whole layer in sequences."""
        assert isinstance(site, MapSite | SequenceSite)
        if isinstance(site, MapSite):
            return on_maps.deformable(site.size, site.channels)
        return in_sequences.deformable(site.queries, site.channels)
