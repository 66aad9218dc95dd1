"""What the 1-D and the 2-D energies have in common."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from plugins.attention.core.word import TERM_SETS

__all__ = ["check_terms", "exactly", "with_bias"]


def check_terms(terms: str) -> tuple[bool, bool, bool, bool]:
    """Return whether E1, E2, E3, E4 are on; ValueError if `terms` is not four bits."""
    if terms not in TERM_SETS:
        raise ValueError(f"terms are four bits E1E2E3E4 such as '0110', got {terms!r}")
    e1, e2, e3, e4 = (bit == "1" for bit in terms)
    return e1, e2, e3, e4


def exactly(x: Tensor) -> AbstractContextManager:
    """Calculate in the tensors' own types, even where autocast would use half precision."""
    kind = x.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def with_bias(query: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return the query, the bias, or their sum: q.k + u.k is computed as (q + u).k.

    Both have shape (N or 1, M, queries or 1, d); at least one is given.
    """
    if query is None:
        assert bias is not None
        return bias
    return query if bias is None else query + bias
