"""How a module is given words and the cells of their images, which several questions share."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from plugins.attention.kernels.shared import by_row

__all__ = ["arguments", "meet", "own"]


def meet(
    module: nn.Module,
    states: Tensor,
    cells: Tensor,
    absent: Tensor | None,
    of_image: Tensor | None,
    **more: Any,
) -> Tensor:
    """Return what a module at a `PairSite` makes of words and of the cells of their images.

    Parameters
    ----------
    module: nn.Module
        If it has no attribute ``shares_memory`` that is true, it gets a copy for each question.
    states, cells: Tensor
        Words, (N, T, C); cells of each image, (images, S, features).
    absent: Tensor, optional
        (N, S), true for cells that do not count.
    of_image: Tensor, optional
        (N,), the number of each question's image; None: there is one for each, in this order.
    **more
        Further arguments of the module.
    """
    memory, rows = own(module, cells, of_image)
    if rows is not None:
        more["memory_rows"] = rows
    found: Tensor = module(states, memory, key_padding_mask=absent, **more)
    return found


def arguments(
    module: nn.Module,
    states: Tensor,
    cells: Tensor,
    absent: Tensor | None,
    padding: Tensor | None,
    of_image: Tensor | None,
) -> tuple[Any, ...]:
    """Return what `Mechanism.weights` and `Mechanism.energies` take after the module.

    The arguments are those of `meet`; `padding` (N, T) is true for words that do not count.
    """
    memory, rows = own(module, cells, of_image)
    given = states, memory, absent, padding
    return given if rows is None else (*given, rows)


def own(module: nn.Module, cells: Tensor, of_image: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return cells and, if they are still by image, the number of each question's image."""
    if of_image is None or getattr(module, "shares_memory", False):
        return cells, of_image
    return by_row(cells, of_image), None
