"""Which column of the tables of forms serves a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["as_on_gpu", "on_gpu"]

_everywhere = False


def on_gpu(device: torch.device) -> bool:
    """Whether the forms for a GPU are used on a device."""
    return _everywhere or device.type == "cuda"


@contextmanager
def as_on_gpu() -> Iterator[None]:
    """Use the forms for a GPU on every device while open; to test and to count them on a CPU."""
    global _everywhere
    before, _everywhere = _everywhere, True
    try:
        yield
    finally:
        _everywhere = before
