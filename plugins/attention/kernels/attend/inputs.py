"""What the operator is given, in the order of its arguments."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from plugins.attention.kernels.attend.window import Window

__all__ = ["Inputs"]


class Inputs(NamedTuple):
    """The arguments of :func:`~plugins.attention.kernels.attend.operator.attend`, described there.

    As an operator takes no class of ours, it has the window as five numbers.
    """

    query: Tensor | None
    key: Tensor | None
    value: Tensor
    outer: Tensor | None
    inner: Tensor | None
    score: Tensor | None
    bias: Tensor | None
    scale: float = 1.0
    window: Window | None = None

    @classmethod
    def of(cls, *arguments: Any) -> Inputs:
        """Read the arguments of the operator."""
        *others, window = arguments
        return cls._make((*others, None if window is None else Window(*window)))

    @property
    def grid(self) -> tuple[int, int]:
        """Queries on both axes.

        Raises
        ------
        ValueError
            If nothing tells them.
        """
        for tensor in (self.query, self.inner, self.outer):
            if tensor is not None:
                return tensor.shape[2], tensor.shape[3]
        raise ValueError("attend needs a query or a table of energies to know the queries from")

    @property
    def widest(self) -> int:
        """Features of a query or a value, whichever has more."""
        return max(self.value.shape[4], 0 if self.query is None else self.query.shape[4])
