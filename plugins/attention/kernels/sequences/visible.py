"""Which keys of a sequence a query may see."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Visible"]


@dataclass(frozen=True)
class Visible:
    """The keys that T queries see among S keys, and what follows from that for the forms.

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
        (N, S), true where keys are padding, and hidden. Under a spatial range a query in the
        padding may have nothing but padding within reach. It then sees the padding: its result does
        not matter, but NaN would reach the others in the next layer.
    """

    queries: int
    keys: int
    start: int = 0
    causal: bool = False
    spatial_range: int | None = None
    padding: Tensor | None = None

    def offsets(self) -> range:
        """Offsets, query minus key, between any query and any key that it could see."""
        first, stop = self.start - self.keys + 1, self.start + self.queries
        if self.causal:
            first = max(first, 0)
        if self.spatial_range is not None:
            first = max(first, -self.spatial_range)
            stop = min(stop, self.spatial_range + 1)
        return range(first, max(first, stop))

    def reach(self, rows: slice) -> slice:
        """Return a slice with all keys that the queries `rows` could see."""
        first, stop = 0, self.keys
        if self.causal:
            stop = min(stop, self.start + rows.stop)
        if self.spatial_range is not None:
            first = max(first, self.start + rows.start - self.spatial_range)
            stop = min(stop, self.start + rows.stop + self.spatial_range)
        return slice(first, stop)

    @property
    def reaches_all(self) -> bool:
        """Whether every query could see every key if there were no padding."""
        first, last = self.start - self.keys + 1, self.start + self.queries - 1
        offsets = self.offsets()
        return first in offsets and last in offsets

    @property
    def all_reach_some(self) -> bool:
        """Whether every query could see a key if there were no padding."""
        last = self.start + self.queries - 1
        return self.spatial_range is None or last - self.spatial_range < self.keys

    def unreachable(self, rows: slice, keys: slice, device: torch.device) -> Tensor | None:
        """(rows, keys), true where the key is too far or after the query; None if nowhere."""
        offsets = self.offsets()
        nearest = self.start + rows.start - keys.stop + 1
        if nearest in offsets and self.start + rows.stop - 1 - keys.start in offsets:
            return None
        query = torch.arange(rows.start, rows.stop, device=device) + self.start
        offset = query[:, None] - torch.arange(keys.start, keys.stop, device=device)
        return (offset < offsets.start) | (offset >= offsets.stop)

    @functools.cached_property
    def blind(self) -> Tensor | None:
        """(N, T), true where all keys within reach are padding; None if nowhere."""
        if self.padding is None:
            return None
        real = torch.nn.functional.pad((~self.padding).cumsum(dim=1), (1, 0))
        offsets = self.offsets()
        query = torch.arange(self.queries, device=real.device) + self.start
        first = (query - offsets.stop + 1).clamp(0, self.keys)
        stop = (query - offsets.start + 1).clamp(0, self.keys)
        blind = real[:, stop] == real[:, first]
        return blind if bool(blind.any()) else None

    def padded(self, sentences: slice, rows: slice, keys: slice) -> Tensor | None:
        """(sentences, rows or 1, keys), true where padding hides a key; None if nowhere."""
        if self.padding is None:
            return None
        padding = self.padding[sentences, None, keys]
        if self.blind is not None:
            padding = padding & ~self.blind[sentences, rows, None]
        return padding

    def hidden(self, device: torch.device) -> Tensor | None:
        """(N or 1, T or 1, S), true where a query does not see the key; None if nowhere."""
        rows, keys = slice(0, self.queries), slice(0, self.keys)
        far, padded = self.unreachable(rows, keys, device), self.padded(slice(None), rows, keys)
        if far is None:
            return padded
        return far[None] if padded is None else far | padded
