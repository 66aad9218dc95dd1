"""The cheapest exact form of attention over a sequence, for each set of terms.

All forms compute the same function as `dense`, which is the definition written down.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.kernels.sequences.blocked import attend_in_blocks
from plugins.attention.kernels.sequences.energies import Energies
from plugins.attention.kernels.sequences.relative import by_offset, diagonals
from plugins.attention.kernels.sequences.visible import Visible

__all__ = ["FORMS", "dense", "form_of", "pool"]

Form = Callable[[Energies, Tensor, Visible], Tensor]
"""From energies, values (N, M, S, d) and what is visible to (N, M, T or 1, d)."""

LARGEST_SPAN = 60.0
"""Largest difference between energies whose exponentials are added up before the quotient: the
sums are then at least exp(-60) = 9e-27 of the largest, far from the end of single precision."""

PREFIX_CHUNK = 64
"""Positions summed by one product; measured best of 32, 64, 128 and of ``cumsum`` on a CPU."""


def dense(energies: Energies, value: Tensor, visible: Visible) -> Tensor:
    """All weights, then their product with the values."""
    return energies.weights(visible, value).to(value.dtype) @ value


def fused(energies: Energies, value: Tensor, visible: Visible) -> Tensor:
    """torch's fused attention: the energies are a product of queries and keys and nothing else."""
    assert energies.content is not None
    assert energies.key is not None
    whole = visible.padding is None and visible.start == 0 and visible.queries == visible.keys
    causal = whole and visible.causal
    hidden = None if causal else visible.hidden(value.device)
    return F.scaled_dot_product_attention(
        energies.content,
        energies.key,
        value,
        attn_mask=None if hidden is None else ~hidden[:, None],
        is_causal=causal,
        scale=1.0,
    )


def pool(
    score: Tensor | None, memory: Tensor, projection: nn.Linear, visible: Visible, heads: int
) -> Tensor:
    """Weights that no query changes: average `memory` (N, S, features), then project the average.

    `score` (N, M, S) is None for equal weights. The result is (N, 1, C).
    """
    visible = Visible(1, visible.keys, visible.keys, padding=visible.padding)
    energies = Energies(None, None, score, None, None, None, range(0))
    weights = energies.weights(visible, memory)[:, :, 0].to(memory.dtype)
    if score is None:
        return projection(weights @ memory)
    pooled = weights @ memory  # (N, M, features): each head has an average of its own
    by_head = projection.weight.unflatten(0, (heads, -1))
    out = pooled.transpose(0, 1) @ by_head.transpose(1, 2)
    return out.transpose(0, 1).flatten(1)[:, None] + projection.bias


def running(energies: Energies, value: Tensor, visible: Visible) -> Tensor:
    """Sums over the keys so far: the weights depend on the key, and on the query by its reach."""
    if visible.reaches_all:
        return dense(energies, value, visible)  # one row of weights serves every query
    weight = _exponential(energies.score, visible.padding, value)
    if weight is None or visible.blind is not None:
        return attend_in_blocks(energies, value, visible)
    last = torch.arange(visible.queries, device=value.device) + visible.start
    last = last.clamp(max=visible.keys - 1)
    weight = weight.transpose(1, 2)[..., None]  # (N or 1, S, M or 1, 1)
    total = _prefix_sums((weight * value.transpose(1, 2)).flatten(2))[:, last]
    mass = _prefix_sums(weight.flatten(2))[:, last]
    out = total.unflatten(2, (value.shape[1], -1)) / mass[..., None]
    return out.transpose(1, 2).to(value.dtype)


def by_position(energies: Energies, value: Tensor, visible: Visible) -> Tensor:
    """One product of the exponentials by offset, which all sentences share, with the values."""
    assert energies.table is not None
    every = range(visible.start - visible.keys + 1, visible.start + visible.queries)
    table = energies.table.to(torch.promote_types(energies.table.dtype, torch.float32))
    table = by_offset(table[..., None], energies.offsets, every)[..., 0]
    energy = diagonals(table, visible.keys)  # (M, T, S)
    far = visible.unreachable(slice(0, visible.queries), slice(0, visible.keys), value.device)
    if far is not None:
        energy = energy.masked_fill(far, -math.inf)
    shared = energy.softmax(dim=-1)
    heads, features = value.shape[1], value.shape[3]
    if energies.score is None and visible.padding is None:
        columns = value.permute(1, 2, 0, 3).flatten(2)
        out = shared.to(value.dtype) @ columns
        return out.unflatten(2, (-1, features)).permute(2, 0, 1, 3)
    span = float(energies.table.detach().amax() - energies.table.detach().amin())
    weight = _exponential(energies.score, visible.padding, value, LARGEST_SPAN - span)
    if weight is None or visible.blind is not None:
        return attend_in_blocks(energies, value, visible)
    weight = weight.expand(-1, heads, -1).permute(1, 2, 0)  # (M, S, N)
    columns = (weight[..., None] * value.permute(1, 2, 0, 3)).flatten(2)
    mass = shared @ weight
    out = (shared @ columns).unflatten(2, (-1, features)) / mass[..., None]
    return out.permute(2, 0, 1, 3).to(value.dtype)


# Time of the dense form over that of the one here, T = 32 | 128 | 512, 4096 tokens of 512
# channels in 8 heads, forward and backward with the projections, one thread of a CPU: 0000 and
# 0010 without a causal mask 15 and more at any length; 0011 1.4 | 1.5 | 1.8; 0110 1.3 | 1.4 | 1.8;
# 1111 1.0 | 1.0 | 1.6; 1000 1.0 | 1.1 | 1.4; 0001 1.1 | 1.1 | 1.3; 1001 1.0 | 1.0 | 1.2; with a
# causal mask up to 2.6. Dense would be as fast for the sets with E1 up to T = 128, where the four
# projections are nearly all of the time, but keeps T x S weights for the backward pass.
FORMS: dict[str, Form] = {
    "0000": running,
    "0001": by_position,
    "0010": running,
    "0011": by_position,
    "0100": attend_in_blocks,
    "0101": attend_in_blocks,
    "0110": attend_in_blocks,
    "0111": attend_in_blocks,
    "1000": fused,
    "1001": attend_in_blocks,
    "1010": fused,
    "1011": attend_in_blocks,
    "1100": attend_in_blocks,
    "1101": attend_in_blocks,
    "1110": attend_in_blocks,
    "1111": attend_in_blocks,
}


def form_of(terms: str, visible: Visible) -> Form:
    """Return the form in which to compute `terms`."""
    if visible.queries == 1:  # a step of decoding: there is one row of weights
        return dense
    if visible.spatial_range is not None:
        # The other forms would compute all that lies out of reach.
        return attend_in_blocks if visible.all_reach_some else dense
    return FORMS[terms]


def _exponential(
    score: Tensor | None, padding: Tensor | None, value: Tensor, span: float = LARGEST_SPAN
) -> Tensor | None:
    """exp(score - its maximum), 0 for padding, (N or 1, M or 1, S); None if it spans too much."""
    if score is None:
        if span < 0:
            return None
        if padding is None:
            return value.new_ones(1, 1, value.shape[2])
        return (~padding[:, None]).to(torch.promote_types(value.dtype, torch.float32))
    score = score.to(torch.promote_types(score.dtype, torch.float32))
    lowest = highest = score.detach()
    if padding is not None:
        lowest = lowest.masked_fill(padding[:, None], math.inf)
        highest = highest.masked_fill(padding[:, None], -math.inf)
        score = score.masked_fill(padding[:, None], -math.inf)
    highest = highest.amax(dim=-1, keepdim=True)
    if not bool((highest[..., 0] - lowest.amin(dim=-1) <= span).all()):
        return None
    return (score - highest).exp()


def _prefix_sums(x: Tensor) -> Tensor:
    """Sums over all positions up to each, (N, S, C) to (N, S, C)."""
    length = x.shape[1]
    if length <= PREFIX_CHUNK:
        return x.new_ones(length, length).tril() @ x
    x = F.pad(x, (0, 0, 0, -length % PREFIX_CHUNK)).unflatten(1, (-1, PREFIX_CHUNK))
    within = x.new_ones(PREFIX_CHUNK, PREFIX_CHUNK).tril() @ x
    before = F.pad(within[:, :-1, -1:].cumsum(dim=1), (0, 0, 0, 0, 1, 0))
    return (within + before).flatten(1, 2)[:, :length]
