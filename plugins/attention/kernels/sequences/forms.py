"""The cheapest exact form of attention over a sequence, for each set of terms.

All forms compute the same function as :mod:`~plugins.attention.sequences.dense`, which is the
definition written down. The choice depends on the device. On a CPU a block of energies stays in the
cache. On a GPU a launch costs more than what it computes: few large operations are best, and none
may wait for a number from the device.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from plugins.attention.kernels.attend import attend
from plugins.attention.kernels.column import on_gpu
from plugins.attention.kernels.constants import filled
from plugins.attention.kernels.sequences.energies import Energies
from plugins.attention.kernels.sequences.on_cpu import attend_on_cpu
from plugins.attention.kernels.sequences.relative import shifted
from plugins.attention.kernels.sequences.visible import Offsets, Visible

__all__ = ["FORMS", "Form", "Forms", "form_of", "pool"]

Compute = Callable[[Energies, Tensor, Visible], Tensor]
"""From energies, values (N, M, S, d) and what is visible to (N, M, T or 1, d)."""

BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""With a mask not cuDNN, which torch 2.11 chooses on Hopper: its gradient of the query is NaN at
some lengths (pytorch #196678), and it misreads masks in single precision (#191612)."""


class Form(NamedTuple):
    """A form, and the offsets of which it takes the energies."""

    compute: Compute
    offsets: Callable[[Visible], Offsets] = Visible.offsets


def _dense(energies: Energies, value: Tensor, visible: Visible) -> Tensor:
    """All weights, then their product with the values."""
    return energies.weights(visible, value).to(value.dtype) @ value


def _fused(energies: Energies, value: Tensor, visible: Visible) -> Tensor:
    """torch's fused attention: the energies are a product of queries and keys and nothing else."""
    assert energies.query is not None
    assert energies.key is not None
    causal = visible.causal and visible.padding is None and visible.start == 0
    # A condition of its own: where a compiler does not know the lengths, it is asked.
    if visible.queries != visible.keys:
        causal = False
    mask = None if causal else visible.bias(value)
    with nullcontext() if mask is None else sdpa_kernel(BACKENDS):
        return F.scaled_dot_product_attention(
            energies.query,
            energies.key,
            value,
            attn_mask=None if mask is None else mask[:, None],
            is_causal=causal,
            scale=energies.scale,
        )


def _tabled(energies: Energies, value: Tensor, visible: Visible) -> Tensor:
    """One operator for all terms, which reads the energies of position from a table.

    For E2 that is one product of the queries with all offsets, moved to the keys by its strides
    alone; for E4 without E2 it serves all sentences.
    """
    sentences, heads = value.shape[:2]
    outer = inner = None
    if energies.query is not None and energies.relative is not None:
        inner = shifted(_by_query(energies.query, energies.relative), energies.offsets, visible)
    elif energies.table is not None:
        inner = _of_table(energies.table, energies.offsets, visible).expand(sentences, -1, -1, -1)
    elif energies.key is None:
        # Nothing that depends on the query: a zero says how many there are.
        outer = filled((), 0.0, value.dtype, value.device)
        outer = outer.expand(sentences, heads, 1, visible.queries, 1)
    score = visible.masked(energies.score, value)
    out = attend(
        None if energies.key is None else _on_a_row(energies.query),
        _on_a_row(energies.key),
        value[:, :, None],
        outer,
        _on_a_row(inner),
        None if score is None else score.expand(-1, heads, -1)[:, :, None],
        bias=energies.bias,
        scale=energies.scale,
        window=None if visible.reaches_all else visible.window(),
    )
    return out.squeeze(2)


def _by_query(query: Tensor, relative: Tensor) -> Tensor:
    """Product of each query with each offset, (M, N, T, offsets)."""
    # Heads first, and of sentences and time first what is first in memory: nothing is copied.
    axes = (1, 0, 2, 3) if query.stride(0) > query.stride(2) else (1, 2, 0, 3)
    rows = query.permute(axes)
    product = rows.flatten(1, 2) @ relative.transpose(1, 2)
    product = product.unflatten(1, rows.shape[1:3])
    return product if axes[1] == 0 else product.transpose(1, 2)


def _of_table(table: Tensor, offsets: Offsets, visible: Visible) -> Tensor:
    """Energies of E4 alone, (1, M, T, S), from those of each offset."""
    rows = table[:, None, None].expand(-1, 1, visible.queries, -1).contiguous()
    return shifted(rows, offsets, visible)


def _on_a_row(x: Tensor | None) -> Tensor | None:
    return None if x is None else x[:, :, None]


def pool(
    score: Tensor | None, memory: Tensor, projection: nn.Linear, padding: Tensor | None, heads: int
) -> Tensor:
    """Weights that no query changes: average `memory` (N, S, features), then project the average.

    `score` (N, M, S) is None for equal weights. The result is (N, 1, C).
    """
    visible = Visible(1, memory.shape[1], memory.shape[1], padding=padding)
    energies = Energies(None, None, None, score, None, None, Offsets(0, 0), 1.0)
    weights = energies.weights(visible, memory).squeeze(2).to(memory.dtype)
    pooled = weights @ memory  # (N, M or 1, features): each head has an average of its own
    if score is None:
        out: Tensor = projection(pooled)
    else:
        by_head = projection.weight.unflatten(0, (heads, -1))
        out = pooled.transpose(0, 1) @ by_head.transpose(1, 2)
        out = out.transpose(0, 1).flatten(1)[:, None] + projection.bias
    if padding is None:
        return out
    return out.masked_fill(padding.all(dim=-1)[:, None, None], 0.0)


def _by_position(energies: Energies, value: Tensor, visible: Visible) -> Tensor:
    """One product of weights by offset, which all sentences share, with the values."""
    assert energies.table is not None
    table = energies.table.to(torch.promote_types(energies.table.dtype, torch.float32))
    energy = _of_table(table, energies.offsets, visible)[0]
    far = visible.unreachable(slice(0, visible.queries), slice(0, visible.keys), value.device)
    if far is not None:
        energy = energy.masked_fill(far, -torch.inf)
    columns = value.permute(1, 2, 0, 3).flatten(2)
    out = energy.softmax(dim=-1).to(value.dtype) @ columns
    return out.unflatten(2, (-1, value.shape[3])).permute(2, 0, 1, 3)


def _in_sums(energies: Energies, value: Tensor, visible: Visible) -> Tensor:
    """Sums of exponentials; weights by the offset alone need none."""
    if energies.table is not None and energies.score is None and visible.padding is None:
        return _by_position(energies, value, visible)
    # Under a causal mask sums run over the keys so far: of the sequence itself.
    itself = visible.start == 0 and visible.queries == visible.keys
    by_sums = energies.table is not None or itself
    return attend_on_cpu(energies, value, visible, by_sums)


dense = Form(_dense)
fused = Form(_fused)
blocked = Form(attend_on_cpu)
in_sums = Form(_in_sums, Visible.shifted)
tabled = Form(_tabled, Visible.shifted)


class Forms(NamedTuple):
    """The form on a CPU and that on a GPU."""

    cpu: Form
    gpu: Form


# On a CPU, time of the dense form over that of the one here, T = 32 | 128 | 512, 4096 tokens of 512
# channels in 8 heads, forward and backward with the projections, one thread: 0000 and 0010 without
# a causal mask 15 and more at any length; 0011 1.4 | 1.5 | 1.8; 0110 1.3 | 1.4 | 1.8; 1111 1.0, 1.0
# and 1.6; 1000 1.0 | 1.1 | 1.4; 0001 1.1 | 1.1 | 1.3; 1001 1.0 | 1.0 | 1.2; with a causal mask up
# to 2.6. Dense would be as fast for the sets with E1 up to T = 128, where the four projections are
# nearly all of the time, but keeps T x S weights for the backward pass.
FORMS: dict[str, Forms] = {
    # terms         cpu      gpu
    "0000": Forms(in_sums, tabled),
    "0001": Forms(in_sums, tabled),
    "0010": Forms(in_sums, tabled),
    "0011": Forms(in_sums, tabled),
    "0100": Forms(blocked, tabled),
    "0101": Forms(blocked, tabled),
    "0110": Forms(blocked, tabled),
    "0111": Forms(blocked, tabled),
    "1000": Forms(fused, fused),
    "1001": Forms(blocked, tabled),
    "1010": Forms(fused, fused),
    "1011": Forms(blocked, tabled),
    "1100": Forms(blocked, tabled),
    "1101": Forms(blocked, tabled),
    "1110": Forms(blocked, tabled),
    "1111": Forms(blocked, tabled),
}


def form_of(terms: str, visible: Visible, device: torch.device) -> Form:
    """Return the form in which to compute `terms`."""
    if visible.queries == 1:  # a step of decoding: there is one row of weights
        return dense
    if visible.spatial_range is not None:
        # The other forms would compute all that lies out of reach.
        return tabled if on_gpu(device) else blocked
    return FORMS[terms].gpu if on_gpu(device) else FORMS[terms].cpu
