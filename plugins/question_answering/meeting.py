"""How a module is given words and the cells of their images, which several questions share."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from plugins.attention.kernels.rows import each

__all__ = ["arguments", "meet"]


def meet(
    module: nn.Module,
    states: Tensor,
    cells: Tensor,
    absent: Tensor | None,
    of_image: Tensor | None,
    **more: Any,
) -> Tensor:
    """Return what a module makes of words (N, T, C) and the cells of their images.

    Parameters
    ----------
    module: nn.Module
        Stands at a `PairSite`.
    states, cells: Tensor
        Words, and the cells of each image, (images, S, features).
    absent: Tensor, optional
        (N, S), which cells do not count.
    of_image: Tensor, optional
        (N,), the number of each one's image; None: they are as many, in the same order.
    **more
        Further arguments of the module.
    """
    memory, rows = _shared(module, cells, of_image)
    if rows is not None:
        more["memory_rows"] = rows
    found: Tensor = module(states, memory, key_padding_mask=absent, **more)
    return found


def arguments(
    module: nn.Module,
    states: Tensor,
    cells: Tensor,
    absent: Tensor | None,
    hidden: Tensor | None,
    of_image: Tensor | None,
) -> tuple[Any, ...]:
    """Return the same as `weights` and `energies` of a mechanism take it; `hidden` are words."""
    memory, rows = _shared(module, cells, of_image)
    given = states, memory, absent, hidden
    return given if rows is None else (*given, rows)


def _shared(
    module: nn.Module, cells: Tensor, of_image: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Give a module that knows nothing of shared cells each question's own."""
    if of_image is None or getattr(module, "shares_memory", False):
        return cells, of_image
    return each(cells, of_image), None
