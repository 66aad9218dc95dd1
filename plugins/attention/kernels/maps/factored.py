"""Position without E1: the weight of a key is a product over rows and columns.

The softmax numerator of key (y, x) for query q is ``exp(Ey(q, y)) exp(Ex(q, x)) exp(E3(y, x))``.
There are as many of the first two as there are rows and columns; the third goes with the value. The
output is then ``sum_y ay(q, y) sum_x ax(q, x) v(y, x)``: one large product over the columns, one
small over the rows, and no number for a pair of query and key.

It is one operator, because its way depends on the energies: where the factors of a key underflow
together, it attends by blocks of energies instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.flop_counter import register_flop_formula

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.attend import in_torch
from plugins.attention.kernels.attend.in_torch import blocks
from plugins.attention.kernels.attend.inputs import Inputs
from plugins.attention.kernels.maps.blocked import by_tables
from plugins.attention.kernels.maps.tiles import Tiles, in_single, over_tiles

__all__ = ["factored"]

_SPREAD = 60.0
"""Largest exponent that two factors may lose together. exp(-60) is far above the smallest normal
float32, exp(-87), and so no weight that a float32 softmax would show is lost."""

_LIBRARY = torch.library.Library("spatial_attention", "FRAGMENT")
_INPUTS = "Tensor along_y, Tensor along_x, Tensor value, Tensor? score"
_LIBRARY.define(f"factored({_INPUTS}) -> (Tensor, Tensor, Tensor, Tensor)")
_LIBRARY.define(
    f"factored_backward(Tensor grad, {_INPUTS}, Tensor out, Tensor total) "
    "-> (Tensor, Tensor, Tensor, Tensor)"
)


@over_tiles
def factored(tiles: Tiles) -> Tensor:
    """0100, 0101, 0110, 0111: (N, H, W, M * d)."""
    if tiles.value.shape[3] < tiles.value.shape[4]:
        # Fewer key columns than features: products would be larger than weights.
        return by_tables(tiles)
    tables = (tiles.along_rows(), tiles.along_columns())
    tensors = [table.flatten(0, 1).contiguous() for table in tables]
    value = in_single(tiles.value).flatten(0, 1).contiguous()
    score = tiles.key_energy.flatten(0, 1).contiguous() if tiles.block.e3 else None
    out = _Factored.apply(*tensors, value, score)
    return tiles.join(out.unflatten(0, tiles.value.shape[:2]).to(tiles.value.dtype))


class _Factored(torch.autograd.Function):
    """Attend with energies along_y + along_x + score; one dimension for batch and heads.

    Energies are (B, queries, k_y), (B, queries, k_x) and (B, k_y, k_x), values (B, k_y, k_x, d).
    """

    @staticmethod
    def forward(
        ctx: Any, along_y: Tensor, along_x: Tensor, value: Tensor, score: Tensor | None
    ) -> Tensor:
        out: Tensor
        found = torch.ops.spatial_attention.factored(along_y, along_x, value, score)
        out, kept_y, kept_x, total = found
        ctx.save_for_backward(kept_y, kept_x, value, score, out, total)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradients = torch.ops.spatial_attention.factored_backward(grad, *ctx.saved_tensors)
        return (*gradients[:3], None if ctx.saved_tensors[3] is None else gradients[3])


@dataclass
class _Factors:
    """What is multiplied: weights of key rows and columns, values, and the score's factor.

    The values are (B, k_x, k_y * d), or with a score (B, k_x, k_y * (d + 1)): times its factor, and
    that factor itself, which adds up to the softmax's denominator.
    """

    along_y: Tensor
    along_x: Tensor
    value: Tensor
    scale: Tensor | None

    @classmethod
    def of(cls, along_y: Tensor, along_x: Tensor, value: Tensor, score: Tensor | None) -> _Factors:
        """Make the factors of energies."""
        if score is None:
            weights = along_y.softmax(dim=-1), along_x.softmax(dim=-1)
        else:
            weights = (
                (along_y + score.amax(dim=2).unsqueeze(1)).softmax(dim=-1),
                (along_x - along_x.amax(dim=2, keepdim=True)).exp(),
            )
        return cls.again(*weights, value, score)

    @classmethod
    def again(
        cls, weights_y: Tensor, weights_x: Tensor, value: Tensor, score: Tensor | None
    ) -> _Factors:
        """Make the factors of weights that were kept."""
        scale = None
        if score is not None:
            # Shifts cancel in the quotient, and so need no gradient.
            scale = (score - score.amax(dim=2, keepdim=True)).exp().unsqueeze(3)
            value = torch.cat([value * scale, scale], dim=3)
        return cls(weights_y, weights_x, value.transpose(1, 2).flatten(2), scale)

    def sums(self) -> Tensor:
        """Sum the values with weights along_y * along_x: (B, queries, d or d + 1)."""
        key_rows = self.along_y.shape[2]
        out = self.along_y.new_empty(*self.along_y.shape[:2], self.value.shape[2] // key_rows)
        scratch = self._scratch()
        for part in blocks(self.along_x, self.value.shape[2]):
            rows = self._rows(scratch, part).unflatten(2, (key_rows, -1))
            weighted = torch.bmm(self.along_y[part].flatten(0, 1).unsqueeze(1), rows.flatten(0, 1))
            out[part] = weighted.view(out[part].shape)
        return out

    def gradients(self, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the two weights and of the values, given that of the sums."""
        key_rows = self.along_y.shape[2]
        of_y, of_x = torch.empty_like(self.along_y), torch.empty_like(self.along_x)
        of_value = torch.zeros_like(self.value)
        scratch = self._scratch()
        for part in blocks(self.along_x, self.value.shape[2]):
            problem = part[0]
            rows = self._rows(scratch, part).unflatten(2, (key_rows, -1))
            weighted = torch.bmm(rows.flatten(0, 1), grad[part].flatten(0, 1).unsqueeze(2))
            of_y[part] = weighted.view(of_y[part].shape)
            torch.mul(self.along_y[part].unsqueeze(3), grad[part].unsqueeze(2), out=rows)
            rows = rows.flatten(2)
            of_x[part] = torch.bmm(rows, self.value[problem].mT)
            torch.baddbmm(of_value[problem], self.along_x[part].mT, rows, out=of_value[problem])
        return of_y, of_x, of_value

    def _scratch(self) -> Tensor:
        """Memory for the products of one block, used again for every block."""
        problem, queries = next(blocks(self.along_x, self.value.shape[2]))
        return self.value.new_empty(problem.stop * queries.stop, self.value.shape[2])

    def _rows(self, scratch: Tensor, part: tuple[slice, slice]) -> Tensor:
        """Sum of the values over the columns of each key row, (problems, queries, k_y * d)."""
        weights = self.along_x[part]
        rows = scratch[: weights.shape[0] * weights.shape[1]].view(*weights.shape[:2], -1)
        return torch.bmm(weights, self.value[part[0]], out=rows)


def _fits(along_x: Tensor, score: Tensor | None) -> bool:
    """Whether no key's factors underflow together: then the form is as exact as a softmax."""
    if score is None or not score.numel():
        return True
    lowest = along_x.masked_fill(along_x.isneginf(), float("inf")).amin(dim=2)
    spread = (along_x.amax(dim=2) - lowest).max() + (score.amax(dim=2) - score.amin(dim=2)).max()
    return bool(spread <= _SPREAD)


def _as_attended(along_y: Tensor, along_x: Tensor, value: Tensor, score: Tensor | None) -> Inputs:
    """Return the tensors in the shapes of the operator that attends."""
    score = None if score is None else score.unsqueeze(1)
    tables = along_y[:, None, None], along_x[:, None, None]
    return Inputs(None, None, value.unsqueeze(1), *tables, score, None)


@torch.library.impl(_LIBRARY, "factored", "CompositeExplicitAutograd")
def _factored(
    along_y: Tensor, along_x: Tensor, value: Tensor, score: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what is attended, the two weights and the denominators.

    If the energies are too far apart, these are the energies themselves and 0.
    """
    with exactly(value):
        if not _fits(along_x, score):
            out = in_torch.forward(_as_attended(along_y, along_x, value, score)).flatten(1, 3)
            return out, along_y.clone(), along_x.clone(), out.new_zeros(*out.shape[:2], 1)
        factors = _Factors.of(along_y, along_x, value, score)
        sums = factors.sums()
        total = sums.new_ones(*sums.shape[:2], 1)
        if score is not None:
            total.copy_(sums[..., -1:])
            sums = sums[..., :-1] / total
        return sums, factors.along_y, factors.along_x, total


@torch.library.impl(_LIBRARY, "factored_backward", "CompositeExplicitAutograd")
def _factored_backward(
    grad: Tensor,
    kept_y: Tensor,
    kept_x: Tensor,
    value: Tensor,
    score: Tensor | None,
    out: Tensor,
    total: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    with exactly(value):
        if total.numel() and not total.flatten()[0]:
            inputs = _as_attended(kept_y, kept_x, value, score)
            found = in_torch.backward(grad[:, None, None], inputs, wants_score=True)
            of_value, of_y, of_x, of_score = (t for t in found if t is not None)
            return of_y[:, 0, 0], of_x[:, 0, 0], of_value[:, 0], of_score[:, 0]
        factors = _Factors.again(kept_y, kept_x, value, score)
        if factors.scale is not None:
            grad = grad / total
            grad = torch.cat([grad, -(grad * out).sum(dim=2, keepdim=True)], dim=2)
        of_y, of_x, of_wide = factors.gradients(grad.contiguous())
        of_y = _of_softmax(of_y, kept_y)
        of_value = of_wide.unflatten(2, (kept_y.shape[2], -1)).transpose(1, 2)
        if factors.scale is None:
            return of_y, _of_softmax(of_x, kept_x), of_value.contiguous(), value.new_empty(0)
        of_scale = (of_value[..., :-1] * value).sum(dim=3) + of_value[..., -1]
        of_score = of_scale * factors.scale.squeeze(3)
        return of_y, of_x.mul_(kept_x), of_value[..., :-1] * factors.scale, of_score


def _of_softmax(gradient: Tensor, weights: Tensor) -> Tensor:
    return torch._softmax_backward_data(gradient, weights, -1, weights.dtype)


@torch.library.register_fake("spatial_attention::factored", lib=_LIBRARY)
def _factored_shape(
    along_y: Tensor, along_x: Tensor, value: Tensor, score: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch, queries, _ = along_y.shape
    out, total = (value.new_empty(batch, queries, size) for size in (value.shape[3], 1))
    return out, torch.empty_like(along_y), torch.empty_like(along_x), total


@torch.library.register_fake("spatial_attention::factored_backward", lib=_LIBRARY)
def _factored_backward_shape(
    grad: Tensor, along_y: Tensor, along_x: Tensor, value: Tensor, score: Tensor | None, *_: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    given = (along_y, along_x, value)
    of_y, of_x, of_value = (torch.empty_like(t) for t in given)
    return of_y, of_x, of_value, value.new_empty(0) if score is None else torch.empty_like(score)


def _products(along_y: Any, value: Any, score: Any) -> tuple[int, int]:
    """FLOPs of the sums over the columns, and of those over the rows; from shapes.

    They are those of moderate energies.
    """
    batch, queries, key_rows = along_y
    row = 2 * batch * queries * key_rows * (value[3] + (score is not None))
    return row * value[2], row


@register_flop_formula(torch.ops.spatial_attention.factored)
def _factored_flops(along_y: Any, along_x: Any, value: Any, score: Any, *_: Any, **__: Any) -> int:
    return sum(_products(along_y, value, score))


@register_flop_formula(torch.ops.spatial_attention.factored_backward)
def _factored_backward_flops(
    grad: Any, along_y: Any, along_x: Any, value: Any, score: Any, *_: Any, **__: Any
) -> int:
    over_columns, over_rows = _products(along_y, value, score)
    return 3 * over_columns + over_rows
