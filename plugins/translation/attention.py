"""The mechanisms of spatial attention as modules of a translation model.

With a mechanism before the attention, h = x + D(x), the unit returns D(x) + X(h). The layer adds
its residual x, which makes h + X(h): the mechanism acts as a residual layer of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.sequence import SequenceModule
from plugins.attention.core.site import Place, SequenceSite
from plugins.attention.core.standing import build, cost_at, parts_at
from plugins.attention.core.word import Word
from plugins.translation.sites import check_sites, sequence_site
from plugins.translation.unit import AttentionUnit, State

__all__ = ["Attention", "Before", "NoAttention", "build_attention"]


def build_attention(
    word: Word, part: str, channels: int, heads: int, key_channels: int | None = None
) -> AttentionUnit:
    """Build what attends at one site of one layer.

    Parameters
    ----------
    word: Word
        What attends.
    part: str
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
    check_sites(word, (part,))
    site = sequence_site(part, channels, heads, key_channels)
    taken = parts_at(word, site)
    unit: AttentionUnit = NoAttention(part, channels, heads)
    if Place.ATTENTION in taken:
        module = build(taken[Place.ATTENTION], site.at(Place.ATTENTION))
        unit = Attention(module, part, channels, heads)
    if Place.BEFORE in taken:
        unit = Before(build(taken[Place.BEFORE], site.at(Place.BEFORE)), unit, channels)
    # Counting reads it from the unit, because not all of its modules are called as modules.
    unit.closed_form = _Form(word, site)  # type: ignore[assignment]
    return unit


class _Form:
    """The closed form of a unit by its lengths; a copy of the unit copies it."""

    def __init__(self, word: Word, site: SequenceSite) -> None:
        self.word, self.site = word, site

    def __call__(self, queries: int, keys: int) -> ClosedForm:
        return cost_at(self.word, replace(self.site, queries=queries, keys=keys))


class Attention(AttentionUnit):
    """A mechanism in a layer, with what it remembers of earlier steps or of the source."""

    def __init__(self, attention: Any, part: str, channels: int, heads: int) -> None:
        if not isinstance(attention, SequenceModule):
            raise TypeError(f"{type(attention).__name__} is no SequenceModule")
        super().__init__(part, channels, heads, attention.reach)
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
        """Attend within `query`, or to `memory`; see `AttentionUnit.attend`."""
        cross = self.part == "cross"
        if state is None and not need_weights:
            attended = memory if cross else None
            out = self.attention(query, attended, causal=causal, key_padding_mask=padding)
            return out, None
        if cross:
            kept, padding, start = self._source(query, memory, padding, state)
        else:
            new = self.attention.remember(query)
            kept, padding, start = self.append(state, padding, **new)
        return self.attention.step(
            query,
            kept,
            cross=cross,
            causal=causal,
            key_padding_mask=padding,
            query_start=start,
            need_weights=need_weights,
        )

    def _source(
        self, query: Tensor, memory: Tensor | None, padding: Tensor | None, state: State | None
    ) -> tuple[dict[str, Tensor], Tensor | None, int]:
        """Return what is remembered of the source; the first step makes it."""
        kept = self.recall(state)
        if not kept:
            assert memory is not None
            kept = {**self.attention.remember(memory), "padding": padding, "steps": 0}
        start = kept["steps"]
        if state is not None:
            self.remember(state, **{**kept, "steps": start + query.shape[1]})
        tensors = {name: value for name, value in kept.items() if name not in ("padding", "steps")}
        return tensors, kept["padding"], start

    def upgrade_state_dict_named(self, state_dict: dict[str, Any], name: str) -> None:
        """Rename parameters of checkpoints that have the two projections in the unit itself."""
        for layer in ("in_proj", "conv", "out_proj"):
            before = f"{name}.{layer}."
            for key in [key for key in state_dict if key.startswith(before)]:
                state_dict[f"{name}.attention.{layer}.{key.removeprefix(before)}"] = state_dict.pop(
                    key
                )


class Before(AttentionUnit):
    """One mechanism before another; see the head of this module."""

    def __init__(self, conv: Any, then: AttentionUnit, channels: int) -> None:
        super().__init__(then.part, channels, then.num_heads, conv.reach)
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
        """Go through the first mechanism, then attend; see `AttentionUnit.attend`."""
        kept, all_padding, start = self.append(state, padding, **self.conv.remember(query))
        moved, _ = self.conv.step(
            query, kept, causal=causal, key_padding_mask=all_padding, query_start=start
        )
        out, weights = self.then.attend(query + moved, None, padding, state, causal, need_weights)
        return moved + out, weights


class NoAttention(AttentionUnit):
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
        """Return zeros; see `AttentionUnit.attend`."""
        return torch.zeros_like(query), None
