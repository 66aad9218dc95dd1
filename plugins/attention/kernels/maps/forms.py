"""Which exact form calculates which terms.

All compute the same function; :mod:`~plugins.attention.maps.dense` is the reference. The choice
depends on the device and on whether there is a range. On a CPU what counts is arithmetic and the
cache; with a range the forms work on tiles (:mod:`~plugins.attention.kernels.maps.axis`), each of
which is a small problem of the same kind. On a GPU what counts is the number of kernels
(:mod:`~plugins.attention.kernels.maps.lean`), and one form serves every range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from plugins.attention.kernels.maps import lean
from plugins.attention.kernels.maps.block import Block2d
from plugins.attention.kernels.maps.blocked import blocked, fused
from plugins.attention.kernels.maps.factored import factored
from plugins.attention.kernels.maps.separable import mean, nested, pooled, separable

__all__ = ["FORMS", "Form", "Forms", "form_of"]

Form = Callable[[Block2d, Tensor, torch.dtype], Tensor]
"""From the map, (N, C, H, W), to the block's result, with projections of a given type."""


@dataclass(frozen=True)
class Forms:
    """The form on a CPU, on a GPU, and with a spatial range on a CPU and on a GPU."""

    cpu: Form
    gpu: Form
    local: Form
    local_gpu: Form = lean.tabled


MANY_PAIRS = 1 << 27
"""Pairs of query and key, times heads and images, from which a sum that makes no number for a pair
is meant to pay although it takes a third more kernels. Conv4 of two images of 800 x 1333 has half
of that with keys at every second position, and twice that with all. Derived from the rates of an
H200 and its 40 microseconds a kernel, not measured."""


def _by_pairs(few: Form, many: Form) -> Form:
    """Choose by the number of pairs."""

    def form(block: Block2d, x: Tensor, kind: torch.dtype) -> Tensor:
        positions = x.shape[2] * x.shape[3]
        pairs = len(x) * block.heads * positions**2
        strides = (block.q_stride * block.kv_stride) ** 2
        chosen = few if pairs < MANY_PAIRS * strides else many
        return chosen(block, x, kind)

    return form


FORMS: dict[str, Forms] = {
    # terms         cpu        gpu              local
    "0000": Forms(mean, lean.mean, separable),
    "0001": Forms(separable, lean.separable, separable),
    "0010": Forms(pooled, lean.pooled, nested),
    "0011": Forms(nested, _by_pairs(lean.tabled, lean.nested), nested),
    "0100": Forms(factored, lean.tabled, factored),
    "0101": Forms(factored, lean.tabled, factored),
    "0110": Forms(factored, lean.tabled, factored),
    "0111": Forms(factored, lean.tabled, factored),
    "1000": Forms(fused, lean.fused, blocked),
    "1001": Forms(blocked, lean.tabled, blocked),
    "1010": Forms(fused, lean.fused, blocked),
    "1011": Forms(blocked, lean.tabled, blocked),
    "1100": Forms(blocked, lean.tabled, blocked),
    "1101": Forms(blocked, lean.tabled, blocked),
    "1110": Forms(blocked, lean.tabled, blocked),
    "1111": Forms(blocked, lean.tabled, blocked),
}


def form_of(terms: str, on_gpu: bool, local: bool) -> Form:
    """Look up the form."""
    forms = FORMS[terms]
    if on_gpu:
        return forms.local_gpu if local else forms.gpu
    return forms.local if local else forms.cpu
