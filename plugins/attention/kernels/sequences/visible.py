"""Which keys of a sequence a query may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from plugins.attention.kernels.attend import Window
from plugins.attention.kernels.constants import constant, filled

__all__ = ["Offsets", "Visible"]


class Offsets(NamedTuple):
    """Offsets from `first` to `stop` - 1. Tables have a row for each, in falling order.

    It is no ``range``: the compiler would take its ends for constants.
    """

    first: int
    stop: int

    def __contains__(self, offset: object) -> bool:
        assert isinstance(offset, int | torch.SymInt)
        return bool(self.first <= offset) and bool(offset < self.stop)

    @property
    def number(self) -> int:
        """How many they are."""
        return self.stop - self.first


@dataclass(frozen=True)
class Visible:
    """The keys that T queries see among S keys, and what follows from that for the forms.

    A query that sees no key at all gets the weight 0 for each: what is attended to is then 0. In
    the padding this happens under a causal mask or a range.

    Parameters
    ----------
    queries, keys: int
        T and S.
    start: int
        Position of the first query; the first key has position 0.
    causal: bool
        Whether keys after the query are hidden.
    spatial_range: int, optional
        Keys farther than this from the query are hidden.
    padding: Tensor, optional
        (N, S), true where keys are padding, and hidden.
    """

    queries: int
    keys: int
    start: int = 0
    causal: bool = False
    spatial_range: int | None = None
    padding: Tensor | None = None

    def every(self) -> Offsets:
        """Offsets, query minus key, between any query and any key."""
        return Offsets(self.start - self.keys + 1, self.start + self.queries)

    def offsets(self) -> Offsets:
        """Offsets between any query and any key that it could see."""
        first, stop = self.every()
        if self.causal:
            first = max(first, 0)
        if self.spatial_range is not None:
            first = max(first, -self.spatial_range)
            stop = min(stop, self.spatial_range + 1)
        return Offsets(first, max(first, stop))

    def shifted(self) -> Offsets:
        """Offsets of a table (T, offsets) whose rows, moved to the keys, lie apart in memory.

        See `plugins.attention.kernels.sequences.relative.shifted`.
        """
        first, stop = self.offsets()
        stop = max(stop, self.start + 1)
        count = max(stop - first, self.keys + 1, stop + self.keys - self.queries - self.start)
        return Offsets(stop - count, stop)

    def window(self) -> Window:
        """What hides keys by their distance."""
        window = Window(first=self.start)
        if self.spatial_range is not None:
            window = window._replace(nearest=-self.spatial_range, farthest=self.spatial_range)
        return window._replace(nearest=0) if self.causal else window

    def reach(self, rows: slice) -> slice:
        """Return a slice with all keys that the queries `rows` could see."""
        first, stop = 0, self.keys
        if self.causal:
            stop = min(stop, self.start + rows.stop)
        if self.spatial_range is not None:
            first = max(first, self.start + rows.start - self.spatial_range)
            stop = min(stop, self.start + rows.stop + self.spatial_range)
        return slice(min(first, stop), stop)

    @property
    def reaches_all(self) -> bool:
        """Whether every query could see every key if there were no padding."""
        return self.offsets() == self.every()

    @property
    def all_reach_some(self) -> bool:
        """Whether every query could see a key if there were no padding."""
        last = self.start + self.queries - 1
        return self.spatial_range is None or last - self.spatial_range < self.keys

    def unreachable(self, rows: slice, keys: slice, device: torch.device) -> Tensor | None:
        """(rows, keys), true where the key is too far or after the query; None if nowhere."""
        offsets, position = self.offsets(), self.start + rows.start - keys.start
        count, width = rows.stop - rows.start, keys.stop - keys.start
        if position - width + 1 in offsets and position + count - 1 in offsets:
            return None
        return _outside(count, width, offsets.first - position, offsets.stop - position, device)

    def hidden(self, device: torch.device) -> Tensor | None:
        """(N or 1, T or 1, S), true where a query does not see the key; None if nowhere."""
        far = self.unreachable(slice(0, self.queries), slice(0, self.keys), device)
        if self.padding is None:
            return None if far is None else far[None]
        padding = self.padding[:, None]
        return padding if far is None else far | padding

    def blind(self, hidden: Tensor | None) -> Tensor | None:
        """(N or 1, T or 1, 1), true where a query sees nothing; None if that is impossible."""
        if hidden is None or (self.padding is None and self.all_reach_some):
            return None
        return hidden.all(dim=-1, keepdim=True)

    def bias(self, like: Tensor) -> Tensor | None:
        """(N or 1, T or 1, S), -inf where a query does not see the key, else 0; None if nowhere."""
        hidden = self.hidden(like.device)
        return None if hidden is None else _minus_infinity(hidden, like)

    def masked(self, score: Tensor | None, like: Tensor) -> Tensor | None:
        """Energies of the key, (N, M or 1, S), with -inf for padding; None if they are 0."""
        if self.padding is None:
            return score
        bias = _minus_infinity(self.padding[:, None], like if score is None else score)
        return bias if score is None else score + bias


def _minus_infinity(where: Tensor, like: Tensor) -> Tensor:
    """Make a tensor of -inf where something is true, else 0."""
    never = filled((), -torch.inf, like.dtype, like.device)
    return torch.where(where, never, filled((), 0.0, like.dtype, like.device))


@constant
def _outside(queries: int, keys: int, first: int, stop: int, device: torch.device) -> Tensor:
    """(queries, keys), true where query minus key is less than `first` or at least `stop`."""
    offset = torch.arange(queries, device=device)[:, None] - torch.arange(keys, device=device)
    return (offset < first) | (offset >= stop)
