"""A trial of the operator on a device, against the same in double precision on the CPU."""

from __future__ import annotations

from typing import Any

import torch

from plugins.attention.kernels.attend.inputs import Inputs
from plugins.attention.kernels.attend.operator import attend, kernel_for
from plugins.attention.kernels.attend.window import Window

__all__ = ["LARGEST", "trial"]

LARGEST = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 7e-3}
"""Largest deviation of a result or a gradient, relative to its norm, that rounding explains."""

_QUERIES, _KEYS, _WIDTH = (13, 17), (7, 9), 32


def trial(device: str) -> dict[str, Any]:
    """Attend forward and backward, with and without a window, in each precision.

    Returns
    -------
    dict
        ``device`` is its name, ``kernel`` says whether a fused kernel served, ``deviations`` are
        the largest relative ones by precision, and ``largest`` those that rounding explains.
    """
    torch.manual_seed(0)
    pairs = (2, 4)
    shapes = (
        (*pairs, *_QUERIES, _WIDTH), (*pairs, *_KEYS, _WIDTH), (*pairs, *_KEYS, _WIDTH),
        (*pairs, *_QUERIES, _KEYS[0]), (*pairs, *_QUERIES, _KEYS[1]), (*pairs, *_KEYS),
        (pairs[1], _WIDTH),
    )  # fmt: skip
    exact = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    seed = torch.randn(*pairs, *_QUERIES, _WIDTH, dtype=torch.float64)
    deviations = {}
    for precision in LARGEST:
        kind, worst = getattr(torch, precision), 0.0
        for window in (None, Window(1, 2, 0, -5, 5)):
            # Round first: what the device is given is what is calculated exactly.
            given = [t.to(kind if n < 3 else torch.float32) for n, t in enumerate(exact)]
            wanted = _step([t.double() for t in given], seed.to(kind).double(), window)
            found = _step([t.to(device) for t in given], seed.to(device, kind), window)
            for got, right in zip(found, wanted, strict=True):
                worst = max(worst, float((got.double().cpu() - right).norm() / right.norm()))
        deviations[precision] = worst
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    served = kernel_for(Inputs._make((*(t.to(device) for t in given), 0.5, None))) is not None
    return {"device": name, "kernel": served, "deviations": deviations, "largest": LARGEST}


def _step(
    given: list[torch.Tensor], seed: torch.Tensor, window: Window | None
) -> list[torch.Tensor]:
    leaves = [tensor.requires_grad_() for tensor in given]
    out = attend(*leaves[:6], bias=leaves[6], scale=0.5, window=window)
    return [out.detach(), *torch.autograd.grad(out, leaves, seed)]
