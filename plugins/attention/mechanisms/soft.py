"""Stacked soft attention, the word ``soft``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import PairSite, Place, Site
from plugins.attention.pairs import cost

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Soft"]


class Soft(Mechanism):
    """A mean of the cells, weighted by each of them and the question, several times over.

    Attributes
    ----------
    hops: int
        How often; each time the question has learned from the one before.
    reduction: int
        Channels to a hidden unit of the network that weighs.
    form: {"paper", "code"}
        Whether the energies are those of the paper, or those of its authors' code.
    """

    name = "soft"
    formula = "softmax_k(w·tanh(W k + U q))"
    paper = "Yang et al. 2016, Stacked Attention Networks for Image Question Answering"
    url = "https://arxiv.org/abs/1511.02274"
    places: ClassVar[Places] = {PairSite: (Place.POOL,)}

    hops: int = Field(1, ge=1)
    reduction: int = Field(2, ge=1)
    form: Literal["paper", "code"] = "paper"

    def check(self, site: Site) -> None:
        """Refuse a reduction that leaves no unit."""
        assert isinstance(site, PairSite)
        if 0 < site.channels < self.reduction:
            raise ValueError(
                f"a reduction of {self.reduction} leaves none of {site.channels} channels;"
                f" {site.channels} is the largest"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, PairSite)
        from plugins.attention.pairs.soft import SoftAttention

        return SoftAttention(
            site.channels,
            site.key_channels or site.channels,
            hops=self.hops,
            reduction=self.reduction,
            form=self.form,
        )

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form."""
        assert isinstance(site, PairSite)
        return cost.soft(
            site.keys,
            site.channels,
            site.key_channels or site.channels,
            hops=self.hops,
            reduction=self.reduction,
            form=self.form,
        )

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the weights of each hop as a head."""
        return {"weights": module.weights(*inputs)}

    def no_energies(self) -> str:
        """Return nothing: it has them."""
        return ""

    def energies(
        self,
        module: Any,
        query: Tensor,
        memory: Tensor,
        key_padding_mask: Tensor | None = None,
        query_padding_mask: Tensor | None = None,
        memory_rows: Tensor | None = None,
    ) -> Tensor:
        """Return those of the last hop."""
        masks = key_padding_mask, query_padding_mask
        found: Tensor = module.energies(query, memory, *masks, memory_rows)
        return found
