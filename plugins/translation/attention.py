"""The mechanisms of spatial attention as modules of a translation model.

Self-attention with deformable convolution beside it: with h = x + D(x), the slot's result is
D(x) + X(h), so that the layer's residual x makes it h + X(h): a deformable convolution unit before
the attention unit.
"""

from __future__ import annotations

import functools
import pkgutil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention import DeformableConv1d, DynamicConv1d, GeneralizedAttention1d
from plugins.attention.core.registry import layer_cost, registered
from plugins.attention.core.word import Mechanism
from plugins.translation.sites import check_sites
from plugins.translation.slot import AttentionSlot, State

__all__ = [
    "CrossAttention",
    "DeformableSelfAttention",
    "DynamicSelfAttention",
    "NoAttention",
    "SelfAttention",
    "build_attention",
]


def build_attention(
    mechanism: Mechanism, place: str, channels: int, heads: int, key_channels: int | None = None
) -> AttentionSlot:
    """Build what attends at one place of one layer.

    Parameters
    ----------
    mechanism: Mechanism
        What attends. A spatial range k in a decoder, where keys lie on one side of the query,
        gives ``dynamic`` k + 1 taps.
    place: str
        ``encoder``, ``decoder`` (both self-attention) or ``cross``.
    channels, heads: int
        C and M.
    key_channels: int, optional
        Features of the sequence attended to at ``cross``; default C.

    Raises
    ------
    ValueError
        If the mechanism cannot stand there.
    """
    check_sites(mechanism, (place,))
    causal, cross = place == "decoder", place == "cross"
    slot: AttentionSlot
    if mechanism.base == "none":
        slot = NoAttention(place, channels, heads)
    else:
        kind = registered(mechanism.base)
        if kind.sequence is None or (cross and kind.framed):
            raise ValueError(f"mechanism {mechanism}: {mechanism.base!r} cannot stand at {place!r}")
        arguments = kind.sequence_arguments(mechanism, heads, causal, key_channels)
        module = pkgutil.resolve_name(kind.sequence)(channels, **arguments)
        if kind.framed:
            slot = DynamicSelfAttention(module)
        else:
            slot = CrossAttention(module) if cross else SelfAttention(module, place)
    if mechanism.deformable:
        slot = DeformableSelfAttention(DeformableConv1d(channels, causal=causal), slot)
    # Counting reads it from the slot, whose modules are not all called as such.
    slot.closed_form = functools.partial(  # type: ignore[assignment]
        layer_cost,
        mechanism,
        channels=channels,
        heads=heads,
        causal=causal,
        key_channels=key_channels,
    )
    return slot


class SelfAttention(AttentionSlot):
    """Attention of a sentence to itself; keys and values of earlier steps are kept."""

    def __init__(self, attention: GeneralizedAttention1d, place: str) -> None:
        super().__init__(place, attention.channels, attention.heads, attention.spatial_range)
        self.attention = attention

    def attend(
        self,
        query: Tensor,
        memory: Tensor | None,
        padding: Tensor | None,
        state: State | None,
        causal: bool,
        need_weights: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend within `query`; see `AttentionSlot.attend`."""
        if state is None and not need_weights:
            return self.attention(query, causal=causal, key_padding_mask=padding), None
        key, value = self.attention.keys_values(query)
        kept, padding, start = self.append(state, padding, key=key, value=value)
        return _attend(
            self.attention,
            need_weights,
            query,
            kept.get("key"),
            kept["value"],
            causal=causal,
            key_padding_mask=padding,
            query_start=start,
        )


class CrossAttention(AttentionSlot):
    """Attention of the decoder to the source, whose keys and values are made in the first step."""

    def __init__(self, attention: GeneralizedAttention1d) -> None:
        super().__init__("cross", attention.channels, attention.heads)
        self.attention = attention

    def attend(
        self,
        query: Tensor,
        memory: Tensor | None,
        padding: Tensor | None,
        state: State | None,
        causal: bool,
        need_weights: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend to `memory`; see `AttentionSlot.attend`."""
        if state is None and not need_weights:
            return self.attention(query, memory, key_padding_mask=padding), None
        kept = self.recall(state)
        if not kept:
            assert memory is not None
            key, value = self.attention.keys_values(memory)
            kept = {"key": key, "value": value, "padding": padding, "steps": 0}
        start = kept["steps"]
        if state is not None:
            self.remember(state, **{**kept, "steps": start + query.shape[1]})
        return _attend(
            self.attention,
            need_weights,
            query,
            kept["key"],
            kept["value"],
            key_padding_mask=kept["padding"],
            query_start=start,
        )


class DynamicSelfAttention(AttentionSlot):
    """Dynamic convolution between two projections, the first of them gated.

    The frame is that of Wu et al. 2019, https://arxiv.org/abs/1901.10430.
    """

    def __init__(self, conv: DynamicConv1d) -> None:
        place = "decoder" if conv.causal else "encoder"
        super().__init__(place, conv.channels, conv.heads, conv.kernel_size - 1)
        self.in_proj = _linear(conv.channels, 2 * conv.channels)
        self.conv = conv
        self.out_proj = _linear(conv.channels, conv.channels)

    def attend(
        self,
        query: Tensor,
        memory: Tensor | None,
        padding: Tensor | None,
        state: State | None,
        causal: bool,
        need_weights: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Convolve `query`; see `AttentionSlot.attend`."""
        gated = F.glu(self.in_proj(query), dim=-1)
        kept, padding, start = self.append(state, padding, value=gated)
        return self.out_proj(self.conv(kept["value"], padding, start)), None


class DeformableSelfAttention(AttentionSlot):
    """Deformable convolution before another mechanism; see the head of this module."""

    def __init__(self, conv: DeformableConv1d, then: AttentionSlot) -> None:
        super().__init__(then.place, conv.channels, then.num_heads)
        self.conv = conv
        self.then = then

    def attend(
        self,
        query: Tensor,
        memory: Tensor | None,
        padding: Tensor | None,
        state: State | None,
        causal: bool,
        need_weights: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Convolve `query`, then attend; see `AttentionSlot.attend`."""
        kept, all_padding, start = self.append(state, padding, value=query)
        moved = self.conv(kept["value"], all_padding, start)
        out, weights = self.then.attend(query + moved, None, padding, state, causal, need_weights)
        return moved + out, weights


class NoAttention(AttentionSlot):
    """Nothing: the residual of the layer passes unchanged."""

    def attend(
        self,
        query: Tensor,
        memory: Tensor | None,
        padding: Tensor | None,
        state: State | None,
        causal: bool,
        need_weights: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Return zeros; see `AttentionSlot.attend`."""
        return torch.zeros_like(query), None


def _attend(
    attention: GeneralizedAttention1d,
    need_weights: bool,
    query: Tensor,
    key: Tensor | None,
    value: Tensor,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Return the result, and the weights where they are needed: few forms come by them."""
    if not need_weights:
        return attention.attend(query, key, value, **options), None
    weights = attention.weights(query, key, value.shape[2], **options)
    return attention.combine(weights, value, query.shape[1]), weights


def _linear(features: int, out_features: int) -> nn.Linear:
    linear = nn.Linear(features, out_features)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
