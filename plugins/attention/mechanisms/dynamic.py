"""Dynamic convolution, the word ``dynamic``.

Canonical are all taps at all positions, those that see the zeros beyond the border too.
"""

from __future__ import annotations

from typing import Any

from plugins.attention.core.registry import ClosedForm, Registered, register
from plugins.attention.core.word import Mechanism

__all__ = ["Dynamic"]


@register("dynamic")
class Dynamic(Registered):
    """A kernel for each position, computed from the content there."""

    formula = "softmax_p(d_p·x_q) if k = q + p"
    paper = "Wu et al. 2019, Pay Less Attention with Lightweight and Dynamic Convolutions"
    url = "https://arxiv.org/abs/1901.10430"
    ranged = True
    block = "plugins.attention.maps.dynamic.DynamicConv2d"
    sequence = "plugins.attention.sequences.dynamic.DynamicConv1d"
    framed = True

    def block_arguments(self, mechanism: Mechanism, heads: int, kv_stride: int) -> dict[str, Any]:
        """A range of k positions gives ``2 k + 1`` taps an axis."""
        return {"heads": heads, "kernel_size": mechanism.kernel_size}

    def block_cost(
        self, size: tuple[int, int], channels: int, *, heads: int, kernel_size: int
    ) -> ClosedForm:
        """Return the cost of the kernels, of their application and of the two projections."""
        positions, taps = size[0] * size[1], kernel_size**2
        products = (
            ("N C²", positions * channels**2),  # values
            ("N M k² C", positions * heads * taps * channels),  # kernels
            ("N k² C", positions * taps * channels),
            ("N C²", positions * channels**2),  # output
        )
        gamma = 1
        parameters = 2 * channels**2 + heads * taps * channels + channels + gamma
        return ClosedForm(products, parameters)

    def sequence_arguments(
        self, mechanism: Mechanism, heads: int, causal: bool, key_channels: int | None
    ) -> dict[str, Any]:
        """Where keys lie on one side of the query, a range of k gives ``k + 1`` taps."""
        within = mechanism.spatial_range
        taps = within + 1 if causal and within is not None else mechanism.kernel_size
        return {"heads": heads, "kernel_size": taps, "causal": causal}

    def sequence_cost(
        self,
        queries: int,
        keys: int,
        channels: int,
        *,
        heads: int,
        kernel_size: int,
        causal: bool = False,
    ) -> ClosedForm:
        """Return the cost of the kernels and of their application."""
        products = (
            ("N M k C", queries * heads * kernel_size * channels),
            ("N k C", queries * kernel_size * channels),
        )
        return ClosedForm(products, heads * kernel_size * channels)
