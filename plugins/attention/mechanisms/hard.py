"""Hard attention, the word ``hard``."""

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

__all__ = ["Hard"]


class Hard(Mechanism):
    """Keeps the cells whose features, fused with the question's, are longest, and drops the others.

    Attributes
    ----------
    cells: int
        How many are kept; 0: those that weigh no less than the mean, which depends on the image.
    pooling: {"sum", "pairwise", "relation"}
        Whether the kept are added up as they are, after they have attended to each other, or pair
        by pair.
    layers: int
        Of the network that fuses each cell with the question.
    select: {"norm", "random"}
        Whether the longest are kept, or as many at random, to tell what the choice is worth.
    """

    name = "hard"
    formula = "1 for the largest ‖W₂ relu(W k + U q)‖"
    paper = (
        "Malinowski et al. 2018, Learning Visual Question Answering by Bootstrapping Hard Attention"
    )
    url = "https://arxiv.org/abs/1808.00300"
    places: ClassVar[Places] = {PairSite: (Place.POOL,)}
    uses = frozenset({"all_cells_epochs"})

    cells: int = Field(16, ge=0)
    pooling: Literal["sum", "pairwise", "relation"] = "sum"
    layers: int = Field(2, ge=1)
    select: Literal["norm", "random"] = "norm"

    def check(self, site: Site) -> None:
        """Refuse to choose at random among cells whose number nothing says."""
        if self.select == "random" and not self.cells:
            raise ValueError(
                "with cells=0 the lengths say how many are kept, which select=random does not ask:"
                " give a number of cells"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, PairSite)
        from plugins.attention.pairs.hard import HardAttention

        return HardAttention(
            site.channels,
            site.key_channels or site.channels,
            cells=self.cells,
            pooling=self.pooling,
            layers=self.layers,
            select=self.select,
        )

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form; where the image decides how many are kept, that of all cells."""
        return self.cost_of_kept(site, self.cells)

    def cost_of_kept(self, site: Site, cells: int) -> ClosedForm:
        """Return the closed form for an image of which so many cells are kept."""
        assert isinstance(site, PairSite)
        return cost.hard(
            site.keys,
            site.channels,
            site.key_channels or site.channels,
            cells=cells,
            pooling=self.pooling,
            layers=self.layers,
        )

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return which cells are kept as a mask, and the lengths, if these decided; both (N, S)."""
        presence, mask = module.weights(*inputs)
        return {"mask": mask} | ({"presence": presence} if self.select == "norm" else {})
