"""The four energies of a sequence in factors, and their plain sum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from plugins.attention.core.energy import with_bias
from plugins.attention.kernels.sequences.block import Block1d
from plugins.attention.kernels.sequences.relative import by_offset, diagonals, encoding, spread
from plugins.attention.kernels.sequences.visible import Visible

__all__ = ["Energies", "score_of_key", "score_of_memory"]


@dataclass(frozen=True)
class Energies:
    """Factors whose products add up to the energies; None where a term is off.

    The query's factors are already divided by sqrt(d).

    Attributes
    ----------
    content, key: Tensor, optional
        (N, M, T, d) and (N, M, S, d); their product is E1 and, if it is on, E3.
    score: Tensor, optional
        (N, M, S), E3 without E1.
    position, relative: Tensor, optional
        (N, M, T, d) and (M, offsets, d); their product is E2 and, if it is on, E4.
    table: Tensor, optional
        (M, offsets), E4 without E2.
    offsets: range
        Of `relative` and `table`, which have them in falling order.
    """

    content: Tensor | None
    key: Tensor | None
    score: Tensor | None
    position: Tensor | None
    relative: Tensor | None
    table: Tensor | None
    offsets: range

    @classmethod
    def of(
        cls,
        block: Block1d,
        query: Tensor,
        key: Tensor | None,
        score: Tensor | None,
        visible: Visible,
    ) -> Energies:
        """Project what `block` needs of `query` (N, T, C) and of the positions."""
        heads = content = position = relative = table = None
        if block.e1 or block.e2:
            heads = block.split_heads(block.q_proj(query)) / math.sqrt(block.head_dim)
        if block.e1:
            content = with_bias(heads, _bias(block, "appr_bias") if block.e3 else None)
        offsets = visible.offsets()
        if block.e2:
            position = with_bias(heads, _bias(block, "geom_bias") if block.e4 else None)
            rows = _rows(block, offsets)
            relative = rows.unflatten(-1, (block.heads, block.head_dim)).transpose(0, 1)
        elif block.e4:
            table = _rows(block, offsets).transpose(0, 1)
        return cls(content, key if block.e1 else None, score, position, relative, table, offsets)

    def dense(self, visible: Visible, like: Tensor) -> Tensor:
        """Sum of the energies without masks: (N or 1, M or 1, T or 1, S).

        A zero, if there are none, is `like` another tensor.
        """
        every = range(visible.start - visible.keys + 1, visible.start + visible.queries)
        energy: Tensor | None = None
        if self.content is not None and self.key is not None:
            energy = self.content @ self.key.transpose(2, 3)
        if self.score is not None:
            energy = self.score[:, :, None]
        if self.position is not None and self.relative is not None:
            relative = by_offset(self.relative, self.offsets, every)
            # Heads first, so that the offsets are not copied for each sentence.
            position = self.position.transpose(0, 1)
            product = position.flatten(1, 2) @ relative.transpose(1, 2)
            product = product.unflatten(1, position.shape[1:3]).transpose(0, 1)
            energy = _plus(energy, spread(product, visible.keys))
        if self.table is not None:
            table = by_offset(self.table[..., None], self.offsets, every)[..., 0]
            energy = _plus(energy, diagonals(table, visible.keys)[None])
        return like.new_zeros(1, 1, 1, visible.keys) if energy is None else energy

    def weights(self, visible: Visible, like: Tensor) -> Tensor:
        """Softmax of the energies: (N or 1, M or 1, T or 1, S), of at least single precision."""
        energy = self.dense(visible, like)
        energy = energy.to(torch.promote_types(energy.dtype, torch.float32))
        hidden = visible.hidden(energy.device)
        if hidden is not None:
            if not visible.all_reach_some:  # NaN would reach the others in the next layer
                hidden = hidden & ~hidden.all(dim=-1, keepdim=True)
            energy = energy.masked_fill(hidden[:, None], -math.inf)
        return energy.softmax(dim=-1)


def _plus(energy: Tensor | None, more: Tensor) -> Tensor:
    return more if energy is None else energy + more


def score_of_memory(block: Block1d, memory: Tensor) -> Tensor | None:
    """E3 alone, (N, M, S): u.(V x) is computed as (u V).x, which needs no keys."""
    if block.e1 or not block.e3:
        return None
    folded = _fold(block, "appr_bias", block.k_proj.weight)
    return (memory @ folded.transpose(0, 1)).transpose(1, 2)


def score_of_key(block: Block1d, key: Tensor | None) -> Tensor | None:
    """E3 alone, (N, M, S), of keys (N, M, S, d)."""
    if block.e1 or key is None:
        return None
    return (_bias(block, "appr_bias") @ key.transpose(2, 3)).squeeze(2)


def _rows(block: Block1d, offsets: range) -> Tensor:
    """What the energies need of each offset: (offsets, C) with E2, (offsets, M) without."""
    weight = block.appr_geom_fc.weight

    def compute(offsets: range) -> Tensor:
        encoded = encoding(offsets, block.position_dim, weight)
        if block.e2:
            rows: Tensor = block.appr_geom_fc(encoded)
            return rows
        # v.(V R) is computed as (v V).R: M products instead of C.
        return encoded @ _fold(block, "geom_bias", weight).transpose(0, 1)

    if torch.is_grad_enabled() or block.training:
        return compute(offsets)
    parameters = [weight] if block.e2 else [weight, block.geom_bias]
    return block.offset_rows.get(offsets, compute, parameters)


def _fold(block: Block1d, bias: str, weight: Tensor) -> Tensor:
    """Product of a bias and the projection that it meets, (M, features)."""
    return (_bias(block, bias)[0] @ weight.unflatten(0, (block.heads, -1))).squeeze(1)


def _bias(block: Block1d, name: str) -> Tensor:
    """u or v by head, (1, M, 1, d), divided by sqrt(d) as the query is."""
    bias: Tensor = getattr(block, name)
    return bias.view(1, block.heads, 1, block.head_dim) / math.sqrt(block.head_dim)
