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

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, PairSite)
        from plugins.attention.pairs.hard import HardAttention

        return HardAttention(
            site.channels,
            site.key_channels or site.channels,
            cells=self.cells,
            pooling=self.pooling,
        )

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form; where the image decides how many are kept, that of all cells."""
        assert isinstance(site, PairSite)
        return cost.hard(
            site.keys,
            site.channels,
            site.key_channels or site.channels,
            cells=self.cells,
            pooling=self.pooling,
        )

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return which cells are kept as a mask, and the lengths that decided, both (N, S)."""
        presence, mask = module.weights(*inputs)
        return {"mask": mask, "presence": presence}
