"""Rows that several queries share: keys of an image about which there are several questions."""

from __future__ import annotations

from torch import Tensor

__all__ = ["by_row"]


def by_row(x: Tensor, rows: Tensor | None) -> Tensor:
    """Return (N, ...) of `x` (M, ...): for each of N queries the row that it looks at.

    What is made of the M rows before is made once, however many look at them.

    Parameters
    ----------
    x: Tensor
        (M, ...).
    rows: Tensor, optional
        (N,), numbers from 0 to M - 1; None: M is N, and each query has its own.
    """
    if rows is None:
        return x
    # Gradients of a row are added up. With `index_select` the order is open on a GPU, with indexing
    # by several threads of a CPU (torch.use_deterministic_algorithms).
    return x.index_select(0, rows) if x.device.type == "cpu" else x[rows]
