"""The relative positions of a sequence, projected: a row for each offset."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from plugins.attention.core.position import relative_sinusoid
from plugins.attention.kernels.constants import constant
from plugins.attention.kernels.sequences.visible import Offsets, Visible

__all__ = ["WAVELENGTH", "OffsetRows", "by_offset", "diagonals", "encoding", "shifted", "spread"]

WAVELENGTH = 10000.0
"""Base of the Transformer's sinusoids."""


def encoding(offsets: Offsets, dim: int, factor: float, like: Tensor) -> Tensor:
    """Encode `offsets` in falling order, that of rising keys, times a factor: (offsets, dim).

    The type is that in which `like` is multiplied.
    """
    kind, dtype = like.device.type, like.dtype
    if kind != "meta" and torch.is_autocast_enabled(kind) and dtype == torch.float32:
        dtype = torch.get_autocast_dtype(kind)
    if torch.compiler.is_compiling():
        return _encoded(offsets.first, offsets.stop, dim, factor, like.device, dtype)
    # A table of the next power of two serves the next sentence, too.
    reach = 1 << (max(abs(offsets.first), abs(offsets.stop), 1) - 1).bit_length()
    table = _table(reach, dim, factor, like.device, dtype)
    return table[reach - offsets.stop + 1 : reach - offsets.first + 1]


@constant
def _table(reach: int, dim: int, factor: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    return _encoded(-reach, reach + 1, dim, factor, device, dtype)


def _encoded(
    first: int, stop: int, dim: int, factor: float, device: torch.device, dtype: torch.dtype
) -> Tensor:
    offsets = stop - 1 - torch.arange(stop - first, device=device)
    return (relative_sinusoid(offsets, dim, WAVELENGTH) * factor).to(dtype)


TOGETHER = 32
"""Offsets whose rows are computed in one product for inference."""


class OffsetRows:
    """Rows that depend on an offset and on parameters, kept while the parameters stay.

    Decoding then computes rows only once in many steps, and none for the next sentence. Rows are
    kept for inference only, not while a module trains: some optimizers write to parameters without
    a trace.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop the rows."""
        self._rows: Tensor | None = None
        self._offsets = Offsets(0, 0)
        self._of: tuple[object, ...] = ()

    def __deepcopy__(self, memo: dict[int, object]) -> OffsetRows:
        return OffsetRows()

    def __reduce__(self) -> tuple[type[OffsetRows], tuple[()]]:
        return OffsetRows, ()

    def get(
        self, offsets: Offsets, compute: Callable[[Offsets], Tensor], parameters: list[Tensor]
    ) -> Tensor:
        """Return the rows of `offsets` in falling order, computing what is missing."""
        # A tensor made in inference mode counts no versions.
        if not offsets.number or any(p.is_inference() for p in parameters):
            return compute(offsets)
        kind = parameters[0].device.type
        autocast = kind != "meta" and torch.is_autocast_enabled(kind)
        of = (*((id(p), p.data_ptr(), p._version, p.dtype) for p in parameters), autocast)
        # One product always has the same offsets, so that no bit depends on earlier calls.
        first = offsets.first // TOGETHER * TOGETHER
        stop = -(-offsets.stop // TOGETHER) * TOGETHER
        if of != self._of or self._rows is None:
            self._of, self._rows, self._offsets = of, None, Offsets(first, first)
        known = self._offsets
        above = range(known.stop, stop, TOGETHER)
        below = range(first, known.first, TOGETHER)
        if above or below:
            parts = [compute(Offsets(at, at + TOGETHER)) for at in reversed(above)]
            parts += [] if self._rows is None else [self._rows]
            parts += [compute(Offsets(at, at + TOGETHER)) for at in reversed(below)]
            self._rows = torch.cat(parts)
            self._offsets = known = Offsets(min(known.first, first), max(known.stop, stop))
        assert self._rows is not None
        return self._rows[known.stop - offsets.stop : known.stop - offsets.first]


def by_offset(rows: Tensor, offsets: Offsets, wanted: Offsets) -> Tensor:
    """Rows (..., offsets, features) of the `wanted` offsets, zeros where there are none."""
    if offsets == wanted:
        return rows
    return F.pad(rows, (0, 0, wanted.stop - offsets.stop, offsets.first - wanted.first))


def spread(energies: Tensor, keys: int) -> Tensor:
    """Move from offsets to keys: (..., T, T + S - 1) to (..., T, S), without a copy.

    Column j of the first query is the offset to key j - (T - 1); each further query is one
    further. In memory each row is shorter by one.
    """
    queries, columns = energies.shape[-2:]
    if queries == 1:
        return energies
    flat = energies.reshape(*energies.shape[:-2], queries * columns)
    flat = flat.narrow(-1, queries - 1, queries * (columns - 1))
    return flat.unflatten(-1, (queries, columns - 1))[..., :keys]


def shifted(energies: Tensor, offsets: Offsets, visible: Visible) -> Tensor:
    """Move from offsets to keys: (M, N, T, offsets) to (N, M, T, S), without a copy.

    `energies` is all of its memory, and its offsets are ``visible.shifted()``. As in `spread`, a
    row begins one element earlier for each further query. What it takes from its neighbours belongs
    to keys that the query does not see. Were two rows to overlap, the gradient would be wrong.
    """
    heads, sentences, queries, _ = energies.shape
    of_head, of_sentence, of_query, _ = energies.stride()
    return energies.as_strided(
        (sentences, heads, queries, visible.keys),
        (of_sentence, of_head, of_query - 1, 1),
        offsets.stop - 1 - visible.start,
    )


def diagonals(table: Tensor, keys: int) -> Tensor:
    """Move from offsets to keys: (M, T + S - 1) to (M, T, S)."""
    return table.unfold(-1, keys, 1).flip(-2)
