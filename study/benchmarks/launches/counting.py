"""Counting what a step asks of a device: operators, values read back, bytes kept for backward.

On a GPU an operator is a kernel, a few, or a call of a library; what an eager step costs there is
mostly their number. Operators that only look at the same memory another way, or take some without
filling it, launch nothing and are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Step", "count"]

aten = torch.ops.aten

FREE = {
    *(aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided),
    *(aten._unsafe_view, aten.set_, aten.resize_),
}
"""Beside the views, which torch knows: operators that launch nothing."""

FROM_HOST = {aten.lift_fresh, aten.lift_fresh_copy}
"""Dispatched when a tensor is made of numbers of Python or NumPy: a copy from host to device."""

READS = {aten._local_scalar_dense, aten.is_nonzero, aten.equal, aten.nonzero}
"""The host waits for the device: to know a value, or how large a result is."""


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes
    ----------
    forward, backward: int
        Operators that a device would be given.
    reads: int
        Of these, values read back, each of which stops a GPU's queue and forbids a graph.
    saved: int
        Bytes that the forward pass keeps for the backward pass, weights and input not among them.
    """

    forward: int
    backward: int
    reads: int
    saved: int


class _Operators(TorchDispatchMode):
    """Counts what is dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.launched = self.reads = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        packet = func.overloadpacket
        if packet in FROM_HOST or not (func.is_view or packet in FREE):
            self.launched += 1
        self.reads += packet in READS
        return func(*args, **(kwargs or {}))


def count(forward: Callable[[], Tensor], seed: Tensor, present: Iterable[Tensor]) -> Step:
    """Run a step and count.

    Parameters
    ----------
    forward: callable
        Returns the output.
    seed: Tensor
        Its gradient.
    present: iterable of Tensor
        Weights and inputs, which are there anyway.
    """
    there = {_storage(tensor) for tensor in present}
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved.setdefault(_storage(tensor), tensor)  # which keeps the address from being used again
        return tensor

    with _Operators() as operators:
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            out = forward()
        kept = sum(t.untyped_storage().nbytes() for at, t in saved.items() if at not in there)
        saved.clear()
        ahead = operators.launched
        out.backward(seed)
    return Step(ahead, operators.launched - ahead, operators.reads, kept)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
