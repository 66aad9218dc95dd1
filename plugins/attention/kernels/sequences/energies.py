"""The four energies of a sequence in factors, and their plain sum."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from plugins.attention.kernels.constants import filled
from plugins.attention.kernels.sequences.block import Block1d
from plugins.attention.kernels.sequences.projections import fold
from plugins.attention.kernels.sequences.relative import by_offset, diagonals, encoding, spread
from plugins.attention.kernels.sequences.visible import Offsets, Visible

__all__ = ["Energies", "score_of_key"]


@dataclass(frozen=True)
class Energies:
    """Factors whose products add up to the energies; None where a term is off.

    Attributes
    ----------
    query: Tensor, optional
        (N, M, T, d), the query of E2 and, if it is on, E4; without E2, that of E1 and E3.
    bias: Tensor, optional
        (M, d), what the query of E1 and E3 has more than `query`.
    key: Tensor, optional
        (N, M, S, d); its product with the query is E1 and, if it is on, E3.
    score: Tensor, optional
        (N, M, S), E3 without E1.
    relative: Tensor, optional
        (M, offsets, d); its product with the query is E2 and, if it is on, E4.
    table: Tensor, optional
        (M, offsets), E4 without E2.
    offsets: Offsets
        Of `relative` and `table`, which have them in falling order.
    scale: float
        1 / sqrt(d), by which the product of query and key is still to be multiplied; the others
        contain it.
    """

    query: Tensor | None
    bias: Tensor | None
    key: Tensor | None
    score: Tensor | None
    relative: Tensor | None
    table: Tensor | None
    offsets: Offsets
    scale: float

    @classmethod
    def of(
        cls,
        block: Block1d,
        query: Tensor | None,
        key: Tensor | None,
        score: Tensor | None,
        offsets: Offsets,
    ) -> Energies:
        """Take projections by head, see `Projected`, and compute what `offsets` need."""
        bias = relative = table = None
        if block.e1 and block.e2:
            by_head = (block.heads, block.head_dim)
            if block.e3 and block.e4:
                bias = (block.appr_bias - block.geom_bias).view(by_head)
            elif block.e3:
                bias = block.appr_bias.view(by_head)
            elif block.e4:
                bias = -block.geom_bias.view(by_head)
        if block.e2:
            rows = _rows(block, offsets)
            relative = rows.unflatten(-1, (block.heads, block.head_dim)).transpose(0, 1)
        elif block.e4:
            table = _rows(block, offsets).transpose(0, 1)
        key = key if block.e1 else None
        return cls(query, bias, key, score, relative, table, offsets, block.scale)

    def content(self) -> Tensor | None:
        """(N, M, T, d), whose product with the keys is E1 and, if it is on, E3."""
        if self.query is None or self.key is None:
            return None
        query = self.query if self.bias is None else self.query + self.bias[:, None]
        return query * self.scale

    def dense(self, visible: Visible, like: Tensor) -> Tensor:
        """Sum of the energies without masks: (N or 1, M or 1, T or 1, S).

        A zero, if there are none, is `like` another tensor.
        """
        every, energy, content = visible.every(), None, self.content()
        if content is not None and self.key is not None:
            energy = content @ self.key.transpose(2, 3)
        if self.score is not None:
            energy = self.score[:, :, None]
        if self.query is not None and self.relative is not None:
            relative = by_offset(self.relative, self.offsets, every)
            # Heads first, so that the offsets are not copied for each sentence.
            position = self.query.transpose(0, 1)
            product = position.flatten(1, 2) @ relative.transpose(1, 2)
            product = product.unflatten(1, position.shape[1:3]).transpose(0, 1)
            energy = _plus(energy, spread(product, visible.keys))
        if self.table is not None:
            table = by_offset(self.table[..., None], self.offsets, every)[..., 0]
            energy = _plus(energy, diagonals(table, visible.keys)[None])
        if energy is None:
            return filled((), 0.0, like.dtype, like.device).expand(1, 1, 1, visible.keys)
        return energy

    def weights(self, visible: Visible, like: Tensor) -> Tensor:
        """Softmax of the energies: (N or 1, M or 1, T or 1, S), of at least single precision."""
        energy = self.dense(visible, like)
        energy = energy.to(torch.promote_types(energy.dtype, torch.float32))
        hidden = visible.hidden(energy.device)
        if hidden is None:
            return energy.softmax(dim=-1)
        # Not -inf, of which a query that sees nothing would make NaN.
        least = torch.finfo(energy.dtype).min
        weights = energy.masked_fill(hidden[:, None], least).softmax(dim=-1)
        blind = visible.blind(hidden)
        return weights if blind is None else weights.masked_fill(blind[:, None], 0.0)


def _plus(energy: Tensor | None, more: Tensor) -> Tensor:
    return more if energy is None else energy + more


def score_of_key(block: Block1d, key: Tensor | None) -> Tensor | None:
    """E3 alone, (N, M, S), of keys (N, M, S, d)."""
    if block.e1 or key is None:
        return None
    bias = (block.appr_bias * block.scale).view(1, block.heads, 1, block.head_dim)
    return (bias @ key.transpose(2, 3)).squeeze(2)


def _rows(block: Block1d, offsets: Offsets) -> Tensor:
    """What the energies need of each offset: (offsets, C) with E2, (offsets, M) without."""
    weight = block.appr_geom_fc.weight

    def compute(offsets: Offsets) -> Tensor:
        encoded = encoding(offsets, block.position_dim, block.scale, weight)
        if block.e2:
            rows: Tensor = block.appr_geom_fc(encoded)
            return rows
        # v.(V R) is computed as (v V).R: M products instead of C.
        return encoded @ fold(block.geom_bias, weight, block.heads).transpose(0, 1)

    if torch.is_grad_enabled() or block.training or torch.compiler.is_compiling():
        return compute(offsets)
    parameters = [weight] if block.e2 else [weight, block.geom_bias]
    return block.offset_rows.get(offsets, compute, parameters)
