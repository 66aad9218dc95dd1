"""Which exact form calculates which terms.

All compute the same function; :mod:`~plugins.attention.maps.dense` is the reference. The choice
depends on the device and on whether there is a range. On a CPU a block of energies stays in the
cache, and position is cheap to add to it. On a GPU one fused kernel serves; it takes products only,
so position becomes features of queries and keys. With a range the forms work on tiles
(:mod:`~plugins.attention.kernels.maps.axis`), each of which is a small problem of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from plugins.attention.kernels.maps.blocked import blocked
from plugins.attention.kernels.maps.factored import factored
from plugins.attention.kernels.maps.folded import folded_low_rank, fused
from plugins.attention.kernels.maps.separable import mean, nested, pooled, separable
from plugins.attention.kernels.maps.tiles import Tiles

__all__ = ["FORMS", "Form", "Forms", "form_of"]

Form = Callable[[Tiles], Tensor]
"""From the tiles to what is attended, (N, H, W, M * d), or (N, 1, 1, M * d) for all queries."""


@dataclass(frozen=True)
class Forms:
    """The form on a CPU, on a GPU, and with a spatial range."""

    cpu: Form
    gpu: Form
    local: Form


FORMS: dict[str, Forms] = {
    # terms         cpu        gpu              local
    "0000": Forms(mean, mean, separable),
    "0001": Forms(separable, separable, separable),
    "0010": Forms(pooled, pooled, nested),
    "0011": Forms(nested, nested, nested),
    "0100": Forms(factored, folded_low_rank, factored),
    "0101": Forms(factored, folded_low_rank, factored),
    "0110": Forms(factored, folded_low_rank, factored),
    "0111": Forms(factored, folded_low_rank, factored),
    "1000": Forms(fused, fused, blocked),
    "1001": Forms(blocked, folded_low_rank, blocked),
    "1010": Forms(fused, fused, blocked),
    "1011": Forms(blocked, folded_low_rank, blocked),
    "1100": Forms(blocked, folded_low_rank, blocked),
    "1101": Forms(blocked, folded_low_rank, blocked),
    "1110": Forms(blocked, folded_low_rank, blocked),
    "1111": Forms(blocked, folded_low_rank, blocked),
}


def form_of(terms: str, on_gpu: bool, local: bool) -> Form:
    """Look up the form."""
    forms = FORMS[terms]
    if local:
        return forms.local
    return forms.gpu if on_gpu else forms.cpu
