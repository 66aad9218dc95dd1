"""SAGAN's self-attention, the word ``sagan``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import MapSite, Place, Site

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Sagan"]


class Sagan(Mechanism):
    """Attention to pooled keys by projections whose largest singular value is 1."""

    name = "sagan"
    formula = "softmax_k(θ(x_q)·φ(x)_k)"
    paper = "Zhang et al. 2019, Self-Attention Generative Adversarial Networks"
    url = "https://arxiv.org/abs/1805.08318"
    places: ClassVar[Places] = {MapSite: (Place.AFTER, Place.BACKBONE)}

    def check(self, site: Site) -> None:
        """Refuse a map whose channels leave queries and keys without a feature."""
        assert isinstance(site, MapSite)
        if 0 < site.channels < 8:
            raise ValueError(
                f"queries and keys have an eighth of the channels, and of {site.channels} that is"
                " none; there must be 8"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, MapSite)
        from plugins.attention.maps.sagan import SelfAttention2d

        return SelfAttention2d(site.channels)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form; keys and values are projected before they are pooled."""
        assert isinstance(site, MapSite)
        (height, width), channels = site.size, site.channels
        positions, narrow, half = height * width, channels // 8, channels // 2
        pairs = positions * max(1, height // 2) * max(1, width // 2)
        products = (
            ("N C D", positions * channels * narrow),  # queries
            ("N C D", positions * channels * narrow),  # keys
            ("P D", pairs * narrow),
            ("N C²/2", positions * channels * half),  # values
            ("P C/2", pairs * half),
            ("N C²/2", positions * half * channels),  # output
        )
        gamma = 1
        return ClosedForm(products, 2 * channels * (narrow + half) + gamma)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the weights of `queries`."""
        return {"weights": module.weights_at(inputs[0], queries)}
