"""Which keys a query may see, by their distance."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["ANYWHERE", "Window"]

ANYWHERE = 1 << 30
"""A distance that no map or sequence has."""


class Window(NamedTuple):
    """The distances at which a query sees a key; the same along both axes.

    Parameters
    ----------
    query_step, key_step: int
        Positions between neighbouring queries (keys).
    first: int
        Position of the first query on the inner axis; the first key has position 0.
    nearest, farthest: int
        Smallest and largest distance, query minus key in positions, at which a key is seen. A
        causal sequence has 0 and `ANYWHERE`, a range of 3 has -3 and 3.
    """

    query_step: int = 1
    key_step: int = 1
    first: int = 0
    nearest: int = -ANYWHERE
    farthest: int = ANYWHERE

    def hidden(self, queries: int, keys: int, first: int, device: torch.device) -> Tensor:
        """(queries, keys), true where a key is not seen along one axis."""
        query = torch.arange(queries, device=device) * self.query_step + first
        distance = query[:, None] - torch.arange(keys, device=device) * self.key_step
        return (distance < self.nearest) | (distance > self.farthest)
