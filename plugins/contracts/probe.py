"""What some steps of a training on made-up inputs took."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Probed"]


@dataclass(frozen=True, kw_only=True)
class Probed:
    """Measured steps of one process.

    Attributes
    ----------
    milliseconds: tuple of float
        What each step took, after the warm-up.
    warm_up: int
        Steps that were made before, and not timed.
    inputs: str
        What a step learnt from, such as ``2 images of 800 x 1333``.
    kernels: int
        Kernels of a step on a GPU; on a CPU its outermost operators.
    allocated_bytes, reserved_bytes: int, optional
        The most that torch's allocator gave to tensors, and took from the GPU; None on a CPU.
    """

    milliseconds: tuple[float, ...]
    warm_up: int
    inputs: str
    kernels: int
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None
