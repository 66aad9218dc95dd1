"""A gate, a pyramid of means and attention by a form of low rank. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import MapSite, PairSite, Place, SequenceSite, Site

if TYPE_CHECKING:
    from torch import Tensor, nn

BINS = (1, 2, 3, 6)
"""Of the pyramid's branches, an axis."""


class Gate(Mechanism):
    """A gate for each channel.

    Attributes
    ----------
    ratio: int
        Channels to a hidden unit.
    sparsity: float
        Weight of the mean gate in the loss; grows to this in the course of the training.
    """

    name = "gate"
    version = 1
    formula = "sigmoid(W_2 relu(W_1 x̄))"
    paper = "Hu et al. 2018, Squeeze-and-Excitation Networks"
    url = "https://arxiv.org/abs/1709.01507"
    places: ClassVar[Places] = {
        MapSite: (Place.BRANCH, Place.BACKBONE),
        SequenceSite: (Place.ATTENTION,),
    }

    ratio: int = Field(4, ge=1)
    sparsity: float = Field(0.0, ge=0)

    def build(self, site: Site) -> nn.Module:
        from guest.modules import MapGate, SequenceGate

        assert isinstance(site, MapSite | SequenceSite)
        if isinstance(site, MapSite):
            return MapGate(site.channels, self.ratio, self.sparsity)
        return SequenceGate(site.channels, self.ratio, self.sparsity)

    def cost(self, site: Site) -> ClosedForm:
        assert isinstance(site, MapSite | SequenceSite)
        hidden = max(1, site.channels // self.ratio)
        each = 2 * site.channels * hidden
        parameters = each + hidden + site.channels
        if isinstance(site, SequenceSite) and site.causal:
            return ClosedForm((("2 N C²/r", site.queries * each),), parameters)
        return ClosedForm((("2 C²/r", each),), parameters)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        if inputs[0].dim() == 4:
            return {"gate": module.gate(inputs[0])}
        return {"gate": module.gate(inputs[0], module.site.causal).squeeze(1)}


class Pyramid(Mechanism):
    """Means over bins of four sizes, a branch each, beside the features themselves."""

    name = "pyramid"
    formula = "W [x, W_b mean of x over the bin of q, for 1, 2, 3 and 6 bins an axis]"
    paper = "Zhao et al. 2017, Pyramid Scene Parsing Network"
    url = "https://arxiv.org/abs/1612.01105"
    places: ClassVar[Places] = {MapSite: (Place.BACKBONE,)}

    def check(self, site: Site) -> None:
        assert isinstance(site, MapSite)
        if site.channels % len(BINS):
            raise ValueError(f"{site.channels} channels are not divisible by {len(BINS)} branches")

    def build(self, site: Site) -> nn.Module:
        from guest.modules import PyramidPooling

        assert isinstance(site, MapSite)
        return PyramidPooling(site.channels, BINS)

    def cost(self, site: Site) -> ClosedForm:
        assert isinstance(site, MapSite)
        each, positions = site.channels // len(BINS), site.size[0] * site.size[1]
        means = sum(bins**2 for bins in BINS)
        products = (
            ("50 C²/4", means * site.channels * each),
            ("2 N C²", positions * 2 * site.channels**2),
        )
        return ClosedForm(products, 3 * site.channels**2 + len(BINS) * each + site.channels)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        return {"weights": module.weights(*inputs[0].shape[-2:], queries)}


class LowRank(Mechanism):
    """Attention between two sets by a product of low rank, and a joint feature of the same kind.

    Attributes
    ----------
    rank: int
        Of the products.
    """

    name = "low_rank"
    formula = "softmax_k(p·(U x_q ∘ V y_k))"
    paper = "Kim et al. 2018, Bilinear Attention Networks"
    url = "https://arxiv.org/abs/1805.07932"
    places: ClassVar[Places] = {PairSite: (Place.ATTENTION,)}

    rank: int = Field(16, ge=1)

    def build(self, site: Site) -> nn.Module:
        from guest.modules import LowRankAttention

        assert isinstance(site, PairSite)
        return LowRankAttention(site.channels, site.key_channels or site.channels, self.rank)

    def cost(self, site: Site) -> ClosedForm:
        assert isinstance(site, PairSite)
        width, rank = site.key_channels or site.channels, self.rank
        products = (
            ("N C r", site.queries * site.channels * rank),
            ("K D r", site.keys * width * rank),
            ("P r", site.queries * site.keys * rank),
            ("P r", site.queries * site.keys * rank),
            ("N C r", site.queries * rank * site.channels),
        )
        return ClosedForm(products, (2 * site.channels + width + 1) * rank)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        return {"weights": module.weights(*inputs)[:, None]}
