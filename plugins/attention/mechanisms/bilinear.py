"""Bilinear attention and what it is compared with: the words ``bilinear``, ``co``, ``single``."""

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

__all__ = ["Bilinear", "Co", "Single"]


class Bilinear(Mechanism):
    """A mean over all pairs of a word and a cell, weighted by a form of low rank in both.

    Attributes
    ----------
    glimpses: int
        How many such means are joined.
    joint: {"residual", "sum", "concatenation"}
        How: one after the other, each seeing words to which the one before was added; as a sum; or
        side by side, each with its part of the channels.
    dropout: bool
        Whether features are dropped in training as in the authors' code: .2 of what comes into each
        layer, and .5 of those of the cells that weigh.
    """

    name = "bilinear"
    formula = "softmax_{q,k}(p·(U q ∘ V k))"
    paper = "Kim et al. 2018, Bilinear Attention Networks"
    url = "https://arxiv.org/abs/1805.07932"
    places: ClassVar[Places] = {PairSite: (Place.POOL,)}
    of_values = ("glimpses",)

    glimpses: int = Field(1, ge=1)
    joint: Literal["residual", "sum", "concatenation"] = "residual"
    dropout: bool = False

    def check(self, site: Site) -> None:
        """Refuse to divide channels among glimpses if parts are left."""
        assert isinstance(site, PairSite)
        if self.joint == "concatenation" and site.channels % self.glimpses:
            raise ValueError(
                f"{site.channels} channels cannot be divided among {self.glimpses} glimpses, which"
                " stand side by side"
            )

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        assert isinstance(site, PairSite)
        from plugins.attention.pairs import bilinear

        return getattr(bilinear, f"{type(self).__name__}Attention")(
            site.channels,
            site.key_channels or site.channels,
            glimpses=self.glimpses,
            joint=self.joint,
            dropout=self.dropout,
        )

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form."""
        assert isinstance(site, PairSite)
        return self._cost(site, site.queries)

    def _cost(self, site: PairSite, queries: int | None) -> ClosedForm:
        return cost.bilinear(
            queries,
            site.keys,
            site.channels,
            site.key_channels or site.channels,
            glimpses=self.glimpses,
            joint=self.joint,
        )

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the weights of each glimpse as a head, each 1 in sum over words and cells."""
        return {"weights": module.weights(*inputs)}

    def no_energies(self) -> str:
        """Say why it has none: several glimpses have a map each."""
        if self.glimpses > 1 or self.joint != "residual":
            return f"{self}: the map of one glimpse is read, which is joined with no other"
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
        """Return the low-rank form of the last word and each cell."""
        from plugins.attention.pairs.masks import last

        return self._of_vector(module, last(query, query_padding_mask), memory, memory_rows)

    @staticmethod
    def _of_vector(module: Any, vector: Tensor, memory: Tensor, rows: Tensor | None) -> Tensor:
        found: Tensor = module.energies(vector[:, None], memory, rows)
        return found[:, 0, 0]


class Single(Bilinear):
    """A mean over the cells, weighted by a form of low rank in the last word and each of them."""

    name = "single"
    formula = "softmax_k(p·(U q ∘ V k))"
    paper = "Kim et al. 2017, Hadamard Product for Low-rank Bilinear Pooling"
    url = "https://arxiv.org/abs/1610.04325"

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form, for one word alone."""
        assert isinstance(site, PairSite)
        return self._cost(site, None)

    def no_energies(self) -> str:
        """Say why it is not asked for them."""
        return "single weighs by the last word alone, and so does bilinear where one word is read"


class Co(Bilinear):
    """A mean over the words, weighted by themselves, and one over the cells, weighted by both."""

    name = "co"
    formula = "softmax_k(p·(U x ∘ V k)), x = Σ_q softmax_q(w·relu(W q)) q"
    paper = "Yu et al. 2017, Multi-modal Factorized Bilinear Pooling with Co-Attention Learning"
    url = "https://arxiv.org/abs/1708.01471"

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form, for the mean of the words and then for one word alone."""
        assert isinstance(site, PairSite)
        return cost.mean_of_words(site.queries, site.channels) + self._cost(site, None)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the weights of the cells by glimpse, and of the ``words``, (N, T)."""
        query, hidden = inputs[0], inputs[3] if len(inputs) > 3 else None
        words = module.word_weights(query, hidden)
        return {**super().weights(module, *inputs), "words": words}

    def energies(
        self,
        module: Any,
        query: Tensor,
        memory: Tensor,
        key_padding_mask: Tensor | None = None,
        query_padding_mask: Tensor | None = None,
        memory_rows: Tensor | None = None,
    ) -> Tensor:
        """Return the low-rank form of the mean of the words and each cell."""
        words, _ = module.read(query, query_padding_mask)
        return self._of_vector(module, words[:, 0], memory, memory_rows)
