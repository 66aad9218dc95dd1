"""The attention unit of fairseq's Transformer layers.

fairseq hands over sequences as (time, batch, channels), keeps what a decoder has seen in an
``incremental_state``, and in beam search reorders that state through ``reorder_incremental_state``
of each module.
"""

from __future__ import annotations

from typing import Any

import torch
from fairseq.incremental_decoding_utils import FairseqIncrementalState
from torch import Tensor, nn

__all__ = ["AttentionUnit", "State"]

State = dict[str, dict[str, Any]]
"""fairseq's ``incremental_state``."""


class AttentionUnit(FairseqIncrementalState, nn.Module):
    """The attention of one layer: fairseq's layers use it as a ``MultiheadAttention``.

    Parameters
    ----------
    part: str
        ``encoder``, ``decoder`` or ``cross``.
    channels, heads: int
        C and M.
    remembered: int, optional
        Earlier steps that a step of incremental decoding looks at; default all.
    """

    is_mechanism = True

    def __init__(self, part: str, channels: int, heads: int, remembered: int | None = None) -> None:
        super().__init__()
        self.part, self.remembered = part, remembered
        # The decoder's layers read these two names.
        self.num_heads, self.head_dim = heads, channels // heads

    def forward(
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor | None,
        key_padding_mask: Tensor | None = None,
        incremental_state: State | None = None,
        need_weights: bool = True,
        static_kv: bool = False,
        attn_mask: Tensor | None = None,
        need_head_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Parameters
        ----------
        query: Tensor
            (T, N, C); with `incremental_state` the new steps only.
        key, value: Tensor
            (S, N, C), the sequence attended to, given twice; in self-attention the query's own.
        key_padding_mask: Tensor, optional
            (N, S), true where that sequence is padding.
        incremental_state: dict, optional
            What earlier steps left.
        need_weights: bool
            Return the attention weights, if the mechanism has any, averaged over the heads.
        static_kv: bool
            fairseq's way to say that the sequence attended to is the same in every step. Ignored:
            a unit knows this from its part.
        attn_mask: Tensor, optional
            (T, T), fairseq's mask of the future in a decoder. Without it and without
            `incremental_state` the whole sentence is seen.
        need_head_weights: bool
            Return the weights of each head.

        Returns
        -------
        tuple
            (T, N, C), and None or the weights: (N, T, S), or (M, N, T, S) for each head.

        Raises
        ------
        ValueError
            If there is an `attn_mask` outside a decoder's self-attention.
        """
        need_weights = need_weights or need_head_weights
        if attn_mask is not None and self.part != "decoder":
            raise ValueError(f"attention at {self.part!r} knows no attn_mask")
        out, weights = self.attend(
            query.transpose(0, 1),
            None if key is None else key.transpose(0, 1),
            None if key_padding_mask is None else key_padding_mask.bool(),
            incremental_state,
            self.part == "decoder" and (attn_mask is not None or incremental_state is not None),
            need_weights,
        )
        if weights is None or not need_weights:
            return out.transpose(0, 1), None
        weights = weights.expand(query.shape[1], -1, query.shape[0], -1).transpose(0, 1)
        return out.transpose(0, 1), weights if need_head_weights else weights.mean(dim=0)

    def attend(
        self,
        query: Tensor,
        memory: Tensor | None,
        padding: Tensor | None,
        state: State | None,
        causal: bool,
        need_weights: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from (N, T, C) to (N, S, C); return (N, T, C) and the weights, if there are any.

        The weights are (N or 1, M, T or 1, S). Where they are not needed they may be None, which
        is cheaper. `padding` is (N, S).
        """
        raise NotImplementedError

    def append(
        self, state: State | None, padding: Tensor | None, **new: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor | None, int]:
        """Append the new steps to the remembered ones.

        Parameters
        ----------
        state: dict, optional
            Without it (training) the new steps are all.
        padding: Tensor, optional
            (N, steps), true where a new step is padding.
        **new: Tensor
            (N, ..., steps, features); None is left out.

        Returns
        -------
        tuple
            The tensors and the mask with all steps, and the number of steps before the new ones.
        """
        grown = {name: tensor for name, tensor in new.items() if tensor is not None}
        if state is None:
            return grown, padding, 0
        before = self.recall(state)
        if before:
            grown = {name: torch.cat([before[name], grown[name]], dim=-2) for name in grown}
        some = next(iter(grown.values()))
        steps, start = some.shape[-2], before.get("steps", 0)
        if padding is not None or before.get("padding") is not None:
            whole = torch.zeros(some.shape[0], steps, dtype=torch.bool, device=some.device)
            if before.get("padding") is not None:
                whole[:, :start] = before["padding"]
            if padding is not None:
                whole[:, start:] = padding
            padding = whole
        kept = steps if self.remembered is None else min(steps, self.remembered)
        memory: dict[str, Any] = {
            name: tensor.narrow(-2, steps - kept, kept) for name, tensor in grown.items()
        }
        memory["padding"] = None if padding is None else padding.narrow(1, steps - kept, kept)
        self.remember(state, steps=kept, **memory)
        return grown, padding, start

    def recall(self, state: State | None) -> dict[str, Any]:
        """Return what this unit remembers; empty before the first step."""
        return FairseqIncrementalState.get_incremental_state(self, state, "attention") or {}

    def remember(self, state: State, **memory: Any) -> None:
        """Keep values for the next step; the first dimension of tensors is the sentence."""
        FairseqIncrementalState.set_incremental_state(self, state, "attention", memory)

    def reorder_incremental_state(self, incremental_state: State, new_order: Tensor) -> State:
        """Follow beam search: sentence i continues the former sentence ``new_order[i]``."""
        memory = self.recall(incremental_state)
        for name, value in memory.items():
            if isinstance(value, Tensor):
                memory[name] = value.index_select(0, new_order)
        return incremental_state

    def _get_input_buffer(self, incremental_state: State | None) -> dict[str, Any]:
        # The decoder's layers call this for an option that we do not offer.
        return self.recall(incremental_state)
