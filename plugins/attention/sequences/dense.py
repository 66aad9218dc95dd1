"""The plain dense form of 1-D attention: the standard for the cheap forms.

It makes every projection and every energy of the definition, and multiplies their softmax with the
values. The cost of a term set is stated in these products.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from plugins.attention.core.energy import with_bias
from plugins.attention.core.position import relative_sinusoid
from plugins.attention.kernels.sequences.block import Block1d
from plugins.attention.kernels.sequences.relative import WAVELENGTH

__all__ = ["dense"]


def dense(
    block: Block1d,
    query: Tensor,
    memory: Tensor | None = None,
    *,
    causal: bool = False,
    key_padding_mask: Tensor | None = None,
) -> Tensor:
    """Attend; arguments and result are those of the module's ``forward``."""
    key, value = block.keys_values(query if memory is None else memory)
    queries, keys = query.shape[1], value.shape[2]
    offset = torch.arange(queries, device=query.device)[:, None]
    offset = offset - torch.arange(keys, device=query.device)
    energy = _energy(block, query, key, offset)
    energy = energy.to(torch.promote_types(energy.dtype, torch.float32))
    hidden = torch.zeros_like(offset, dtype=torch.bool)[None]
    if causal:
        hidden = hidden | (offset < 0)
    if block.spatial_range is not None:
        hidden = hidden | (offset.abs() > block.spatial_range)
    if key_padding_mask is not None:
        hidden = hidden | key_padding_mask[:, None]
    weights = energy.masked_fill(hidden[:, None], torch.finfo(energy.dtype).min).softmax(dim=-1)
    # A query that sees nothing attends to nothing.
    weights = weights.masked_fill(hidden.all(dim=-1, keepdim=True)[:, None], 0.0)
    attended = weights.to(value.dtype) @ value  # (N, M, T, d)
    out: Tensor = block.out_proj(attended.transpose(1, 2).flatten(2))
    return out


def _energy(block: Block1d, query: Tensor, key: Tensor | None, offset: Tensor) -> Tensor:
    """Sum of the energies that are on, (N or 1, M, T or 1, S); `offset` is (T, S)."""
    by_head = (block.heads, block.head_dim)
    heads = block.split_heads(block.q_proj(query)) if block.e1 or block.e2 else None
    energy = query.new_zeros(1, block.heads, 1, offset.shape[1])
    if key is not None:
        bias = block.appr_bias.view(1, block.heads, 1, -1) if block.e3 else None
        energy = energy + with_bias(heads if block.e1 else None, bias) @ key.transpose(2, 3)
    if block.e2 or block.e4:
        bias = block.geom_bias.view(1, block.heads, 1, -1) if block.e4 else None
        content = with_bias(heads if block.e2 else None, bias)
        # An offset stands in many cells of the table: project each once, then spread.
        first = 1 - offset.shape[1]
        offsets = torch.arange(first, offset.shape[0], device=query.device)
        encoding = relative_sinusoid(offsets, block.position_dim, WAVELENGTH)
        relative = block.appr_geom_fc(encoding.to(block.appr_geom_fc.weight.dtype))
        relative = relative.unflatten(-1, by_head).transpose(0, 1)
        by_offset = content @ relative.transpose(1, 2)  # (N or 1, M, T or 1, offsets)
        index = (offset - first).expand(*by_offset.shape[:2], -1, -1)
        by_offset = by_offset.expand(-1, -1, offset.shape[0], -1)
        energy = energy + by_offset.gather(-1, index)
    return energy / math.sqrt(block.head_dim)
