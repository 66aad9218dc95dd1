"""Generalized attention, the 16 words E1E2E3E4 from ``0000`` to ``1111``."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import MapSite, PairSite, Place, SequenceSite, Site
from plugins.attention.maps import cost as on_maps
from plugins.attention.sequences import cost as in_sequences

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Generalized"]

ENERGIES = ("q·k", "q·r", "u·k", "v·r")


class Generalized(Mechanism):
    """Transformer attention with those energies that are switched on.

    Attributes
    ----------
    spatial_range: int, optional
        Largest distance between query and key on each axis, in positions of the query's grid; None:
        all keys are seen.
    """

    terms: ClassVar[str]
    paper = "Zhu et al. 2019, An Empirical Study of Spatial Attention Mechanisms in Deep Networks"
    url = "https://arxiv.org/abs/1904.05873"
    places: ClassVar[Places] = {
        MapSite: (Place.AFTER, Place.BACKBONE),
        SequenceSite: (Place.ATTENTION,),
        PairSite: (Place.ATTENTION,),
    }
    uses = frozenset({"heads", "kv_stride"})
    module_name = "gen_attention_block"  # mmcv's, so that checkpoints load
    of_values = ("v_proj", "out_proj")

    spatial_range: int | None = Field(None, ge=1)

    @classmethod
    @functools.cache
    def named(cls, name: str) -> type[Mechanism]:
        """Return the class of one term set."""
        on = [energy for energy, bit in zip(ENERGIES, name, strict=True) if bit == "1"]
        formula = f"softmax_k({' + '.join(on)})" if on else "1 / K"
        attributes = {"name": name, "terms": name, "formula": formula, "__module__": __name__}
        return type(f"Generalized{name}", (cls,), attributes)

    def check(self, site: Site) -> None:
        """Refuse a range that leaves queries without a key, and positions that mean nothing."""
        within = self.spatial_range
        if isinstance(site, MapSite):
            if within is not None and within < site.kv_stride - 1:
                raise ValueError(
                    f"with kv_stride {site.kv_stride} a range below {site.kv_stride - 1} leaves"
                    " queries without any key"
                )
            return
        if within is not None and not (isinstance(site, SequenceSite) and not site.cross):
            raise ValueError("a spatial range is a distance within one sentence")
        if isinstance(site, PairSite) and "1" in (self.terms[1], self.terms[3]):
            raise ValueError("E2 and E4 need positions, and two sets of things have none in common")

    def build(self, site: Site) -> nn.Module:
        """Return the module of this package."""
        options: dict[str, Any] = {
            "heads": site.heads, "terms": self.terms, "spatial_range": self.spatial_range
        }  # fmt: skip
        if isinstance(site, MapSite):
            from plugins.attention.maps.generalized import GeneralizedAttention2d

            return GeneralizedAttention2d(site.channels, kv_stride=site.kv_stride, **options)
        assert isinstance(site, SequenceSite | PairSite)
        from plugins.attention.sequences.generalized import GeneralizedAttention1d

        return GeneralizedAttention1d(site.channels, key_channels=site.key_channels, **options)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form; see `plugins.attention.core.products`."""
        options: dict[str, Any] = {
            "heads": site.heads, "terms": self.terms, "spatial_range": self.spatial_range
        }  # fmt: skip
        if isinstance(site, MapSite):
            return on_maps.generalized(
                site.size, site.channels, kv_stride=site.kv_stride, **options
            )
        assert isinstance(site, SequenceSite | PairSite)
        causal = isinstance(site, SequenceSite) and site.causal
        return in_sequences.generalized(
            site.queries,
            site.keys,
            site.channels,
            key_channels=site.key_channels,
            causal=causal,
            **options,
        )

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the weights and each term's energies, for `queries` of a feature map."""
        if inputs[0].dim() == 4:
            found: dict[str, Tensor] = module.weights_at(inputs[0], queries)
            return found
        from plugins.attention.kernels.shared import by_row

        query, memory = inputs[0], inputs[:2][-1]
        hidden = inputs[2] if len(inputs) > 2 else None
        key, _ = module.keys_values(memory)
        if key is not None and len(inputs) > 4:
            key = by_row(key, inputs[4])
        weights = module.weights(query, key, memory.shape[1], key_padding_mask=hidden)
        return {"weights": weights}

    def no_energies(self) -> str:
        """Say why there are none without a term."""
        return f"{self.name} weighs all alike" if self.terms == "0000" else ""

    def energies(
        self,
        module: Any,
        query: Tensor,
        memory: Tensor,
        key_padding_mask: Tensor | None = None,
        query_padding_mask: Tensor | None = None,
        memory_rows: Tensor | None = None,
    ) -> Tensor:
        """Return the terms that are on, in sum over them and over the heads."""
        from plugins.attention.kernels.shared import by_row
        from plugins.attention.pairs.masks import last

        key = module.split_heads(by_row(module.k_proj(memory), memory_rows))
        asking = last(query, query_padding_mask)[:, None]
        found: Tensor = module.energy(asking, key, memory.shape[1]).sum(1)[:, 0]
        return found.expand(len(query), -1)
