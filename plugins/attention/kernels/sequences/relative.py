"""The relative positions of a sequence, projected: a row for each offset."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from plugins.attention.core.position import relative_sinusoid

__all__ = ["OffsetRows", "by_offset", "diagonals", "encoding", "spread"]

WAVELENGTH = 10000.0
"""Base of the Transformer's sinusoids."""


def encoding(offsets: range, dim: int, like: Tensor) -> Tensor:
    """Encode `offsets` in falling order, that of rising keys: (offsets, dim), `like` in type."""
    reach = max(abs(offsets.start), abs(offsets.stop), 1)
    # A table of the next power of two serves the next sentence, too.
    reach = 1 << (reach - 1).bit_length()
    table = _table(reach, dim, like.device, like.dtype)
    return table[reach - offsets.stop + 1 : reach - offsets.start + 1]


@functools.lru_cache(maxsize=8)
def _table(reach: int, dim: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        offsets = torch.arange(reach, -reach - 1, -1, device=device)
        return relative_sinusoid(offsets, dim, WAVELENGTH).to(dtype)


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
        self._offsets = range(0)
        self._of: tuple[object, ...] = ()

    def __deepcopy__(self, memo: dict[int, object]) -> OffsetRows:
        return OffsetRows()

    def __reduce__(self) -> tuple[type[OffsetRows], tuple[()]]:
        return OffsetRows, ()

    def get(
        self, offsets: range, compute: Callable[[range], Tensor], parameters: list[Tensor]
    ) -> Tensor:
        """Return the rows of `offsets` in falling order, computing what is missing."""
        # A tensor made in inference mode counts no versions.
        if not offsets or any(p.is_inference() for p in parameters):
            return compute(offsets)
        kind = parameters[0].device.type
        autocast = kind != "meta" and torch.is_autocast_enabled(kind)
        of = (*((id(p), p.data_ptr(), p._version, p.dtype) for p in parameters), autocast)
        # One product always has the same offsets, so that no bit depends on earlier calls.
        first = offsets.start // TOGETHER * TOGETHER
        stop = -(-offsets.stop // TOGETHER) * TOGETHER
        if of != self._of or self._rows is None:
            self._of, self._rows, self._offsets = of, None, range(first, first)
        known = self._offsets
        above = range(known.stop, stop, TOGETHER)
        below = range(first, known.start, TOGETHER)
        if above or below:
            parts = [compute(range(start, start + TOGETHER)) for start in reversed(above)]
            parts += [] if self._rows is None else [self._rows]
            parts += [compute(range(start, start + TOGETHER)) for start in reversed(below)]
            self._rows = torch.cat(parts)
            self._offsets = known = range(min(known.start, first), max(known.stop, stop))
        assert self._rows is not None
        return self._rows[known.stop - offsets.stop : known.stop - offsets.start]


def by_offset(rows: Tensor, offsets: range, wanted: range) -> Tensor:
    """Rows (..., offsets, features) of the `wanted` offsets, zeros where there are none."""
    before, after = wanted.stop - offsets.stop, offsets.start - wanted.start
    return F.pad(rows, (0, 0, before, after))


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


def diagonals(table: Tensor, keys: int) -> Tensor:
    """Move from offsets to keys: (M, T + S - 1) to (M, T, S)."""
    return table.unfold(-1, keys, 1).flip(-2)
