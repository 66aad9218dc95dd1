"""The operator that attends on a CPU: loops and branches that a compiler cannot follow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.sequences import blocked, sums
from plugins.attention.kernels.sequences.energies import Energies
from plugins.attention.kernels.sequences.factors import Factors
from plugins.attention.kernels.sequences.relative import by_offset
from plugins.attention.kernels.sequences.visible import Offsets, Visible

__all__ = ["attend_on_cpu"]

_LIBRARY = torch.library.Library("spatial_attention", "FRAGMENT")
_INPUTS = (
    "Tensor? content, Tensor? key, Tensor? score, Tensor? position, Tensor? relative, "
    "Tensor? table, Tensor value, Tensor? padding, SymInt queries, SymInt start, bool causal, "
    "SymInt? spatial_range, SymInt last_offset, bool by_sums"
)
_LIBRARY.define(f"sequence_on_cpu({_INPUTS}) -> Tensor")
_LIBRARY.define(f"sequence_on_cpu_backward(Tensor grad, Tensor out, {_INPUTS}) -> Tensor[]")


def attend_on_cpu(
    energies: Energies, value: Tensor, visible: Visible, by_sums: bool = False
) -> Tensor:
    """Return the weighted sum of `value` (N, M, S, d): (N, M, T, d). Differentiable once.

    Energies and weights are of at least single precision, also under autocast. `by_sums` is for
    sets without E1 and E2, of a sequence to itself or without a causal mask: they then are computed
    by :mod:`~plugins.attention.kernels.sequences.sums` if their size allows. All else is by
    :mod:`~plugins.attention.kernels.sequences.blocked`.
    """
    # A block at the edge also holds offsets that no query can see.
    seen, rows = visible.offsets(), min(blocked.ROWS, visible.queries)
    offsets = Offsets(seen.first - rows + 1, seen.stop + rows - 1)
    relative, table = energies.relative, energies.table
    if relative is not None:
        relative = by_offset(relative, energies.offsets, offsets)
    if table is not None:
        table = by_offset(table[..., None], energies.offsets, offsets)[..., 0]
    position = None if relative is None else energies.query
    # Heads first: the offsets of a head serve all sentences in one product.
    factors = [
        None if factor is None else factor.transpose(0, 1)
        for factor in (energies.content(), energies.key, energies.score, position)
    ]
    factors += [relative, table, value.transpose(0, 1)]
    factors = [
        None if factor is None else factor.to(torch.promote_types(factor.dtype, torch.float32))
        for factor in factors
    ]
    options = (
        visible.queries, visible.start, visible.causal, visible.spatial_range, offsets.stop,
        by_sums,
    )  # fmt: skip
    out: Tensor = _Attend.apply(visible.padding, options, *factors)
    return out.transpose(1, 2).to(value.dtype)


class _Attend(torch.autograd.Function):
    """The operator and its gradient."""

    @staticmethod
    def forward(ctx: Any, padding: Tensor | None, options: Any, *factors: Tensor | None) -> Tensor:
        out: Tensor = torch.ops.spatial_attention.sequence_on_cpu(*factors, padding, *options)
        ctx.save_for_backward(*factors, padding, out)
        ctx.options = options
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *factors, padding, out = ctx.saved_tensors
        found = torch.ops.spatial_attention.sequence_on_cpu_backward(
            grad, out, *factors, padding, *ctx.options
        )
        gradients = iter(found)
        return None, None, *(None if factor is None else next(gradients) for factor in factors)


class _Call:
    """The arguments of the operator; also with shapes for tensors."""

    def __init__(self, *arguments: Any) -> None:
        *factors, padding, queries, start, causal, spatial_range, last, by_sums = arguments
        self.factors = Factors(*factors)
        value: Any = self.factors.value
        keys = (value.shape if isinstance(value, Tensor) else value)[2]
        self.visible = Visible(queries, keys, start, causal, spatial_range, padding)
        self.last_offset: int = last
        self.by_sums: bool = by_sums

    def weight(self) -> Tensor | None:
        return sums.exponentials(self.factors, self.visible) if self.by_sums else None


@torch.library.impl(_LIBRARY, "sequence_on_cpu", "CompositeExplicitAutograd")
def _forward(*arguments: Any) -> Tensor:
    call = _Call(*arguments)
    f, visible = call.factors, call.visible
    out = _empty(f.value, visible.queries)
    by_head = out.permute(2, 0, 1, 3)
    with exactly(f.value):
        weight = call.weight()
        if weight is not None:
            sums.forward(f, visible, call.last_offset, weight, by_head)
        else:
            blocked.forward(f, visible, call.last_offset, by_head)
    return out


@torch.library.impl(_LIBRARY, "sequence_on_cpu_backward", "CompositeExplicitAutograd")
def _backward(grad: Tensor, out: Tensor, *arguments: Any) -> list[Tensor]:
    call = _Call(*arguments)
    f, visible = call.factors, call.visible
    gradients = [None if factor is None else torch.zeros_like(factor) for factor in arguments[:7]]
    found = Factors(*gradients)  # type: ignore[arg-type]
    by_head = grad.permute(2, 0, 1, 3)
    with exactly(f.value):
        weight = call.weight()
        if weight is not None:
            attended = out.permute(2, 0, 1, 3)
            sums.backward(f, visible, call.last_offset, weight, attended, by_head, found)
        else:
            blocked.backward(f, visible, call.last_offset, by_head, found)
    return [gradient for gradient in gradients if gradient is not None]


def _empty(value: Tensor, queries: int) -> Tensor:
    """(N, T, M, d) for values heads first."""
    heads, sentences, _, features = value.shape
    return value.new_empty(sentences, queries, heads, features)


@torch.library.register_fake("spatial_attention::sequence_on_cpu", lib=_LIBRARY)
def _shape(*arguments: Any) -> Tensor:
    return _empty(arguments[6], arguments[8])


@torch.library.register_fake("spatial_attention::sequence_on_cpu_backward", lib=_LIBRARY)
def _backward_shape(grad: Tensor, out: Tensor, *arguments: Any) -> list[Tensor]:
    return [torch.empty_like(factor) for factor in arguments[:7] if factor is not None]


@register_flop_formula(torch.ops.spatial_attention.sequence_on_cpu)
def _flops(*arguments: Any, **_: Any) -> int:
    return sum(_products(*arguments))


@register_flop_formula(torch.ops.spatial_attention.sequence_on_cpu_backward)
def _backward_flops(grad: Any, out: Any, *arguments: Any, **_: Any) -> int:
    energies, values = _products(*arguments)
    varying = any(factor is not None for factor in arguments[:6])
    # The energies once more, then two products for each that there was.
    return 3 * energies + (2 if varying else 1) * values


def _products(*shapes: Any) -> tuple[int, int]:
    """FLOPs of the energies, and of weights times values; of sums if they may be used."""
    call = _Call(*shapes)
    f: Any = call.factors
    if call.by_sums:
        heads, sentences = f.value[:2] if f.score is not None else (1, 1)
        if call.visible.padding is not None:
            sentences = f.value[1]
        return 0, sums.flops(f.value, f.table is not None, (heads, sentences))
    content, position = (0 if of is None else of[3] for of in (f.content, f.position))
    return blocked.flops(f.value, content, position, call.visible)
