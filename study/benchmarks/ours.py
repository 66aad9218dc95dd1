"""Our module of a case."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from plugins.attention import (
    DeformableConv2d,
    DynamicConv1d,
    GeneralizedAttention1d,
    GeneralizedAttention2d,
)
from study.benchmarks.cases import HEADS, Case

__all__ = ["CausalAttention", "ours"]


class CausalAttention(GeneralizedAttention1d):
    """Attention to the positions so far."""

    def forward(self, query: Tensor, memory: Tensor | None = None, **options: Any) -> Tensor:
        """Attend; `query` and the result are (N, T, C)."""
        return super().forward(query, memory, **(options | {"causal": True}))


def ours(case: Case) -> nn.Module:
    """Build it, with the weights that torch draws."""
    channels = case.channels
    if case.configuration == "deformable":
        return DeformableConv2d(channels, channels)
    if case.taps is not None:
        return DynamicConv1d(channels, HEADS, case.taps)
    if len(case.shape) == 4:
        return GeneralizedAttention2d(channels, HEADS, case.configuration, case.kv_stride)
    kind = CausalAttention if case.causal else GeneralizedAttention1d
    return kind(channels, HEADS, case.configuration)
