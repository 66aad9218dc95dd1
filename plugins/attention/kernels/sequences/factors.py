"""What the evaluations on a CPU have in common: their tensors, heads first."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Factors", "diagonal"]


@dataclass
class Factors:
    """The factors of `Energies`, heads first, of single precision at least; or their gradients.

    Attributes
    ----------
    content, key: Tensor, optional
        (M, N, T, d) and (M, N, S, d).
    score: Tensor, optional
        (M, N, S).
    position, relative: Tensor, optional
        (M, N, T, d) and (M, offsets, d).
    table: Tensor, optional
        (M, offsets).
    value: Tensor
        (M, N, S, d).
    """

    content: Tensor | None
    key: Tensor | None
    score: Tensor | None
    position: Tensor | None
    relative: Tensor | None
    table: Tensor | None
    value: Tensor


def diagonal(by_offset: Tensor) -> Tensor:
    """View (..., rows, rows + keys - 1) by offset as (..., rows, keys); see `relative.spread`."""
    rows, columns = by_offset.shape[-2:]
    return by_offset.as_strided(
        (*by_offset.shape[:-1], columns - rows + 1),
        (*by_offset.stride()[:-2], columns - 1, 1),
        by_offset.storage_offset() + rows - 1,
    )
