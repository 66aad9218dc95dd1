"""What all modules between two sets do with padding."""

from __future__ import annotations

import torch
from torch import Tensor

from plugins.attention.kernels.maps.tiles import in_single

__all__ = ["hide", "last", "softmax", "without"]


def last(query: Tensor, hidden: Tensor | None) -> Tensor:
    """Return the last one that is no padding, (N, C) of (N, T, C): a recurrent net's final state.

    `hidden` is (N, T), true where there is padding.
    """
    if hidden is None:
        return query[:, -1]
    positions = torch.arange(query.shape[1], device=query.device)
    found = positions.where(~hidden, 0).amax(dim=1)
    return query.take_along_dim(found[:, None, None], dim=1).squeeze(1)


def hide(energies: Tensor, hidden: Tensor) -> Tensor:
    """Return energies whose weights are 0 where `hidden`, of a shape that fits, is true.

    Where all is hidden, weights are equal and stay finite.
    """
    return energies.masked_fill(hidden, torch.finfo(energies.dtype).min)


def softmax(energies: Tensor, hidden: Tensor | None) -> Tensor:
    """Return weights over the last dimension, in single precision at least."""
    energies = in_single(energies)
    return (energies if hidden is None else hide(energies, hidden)).softmax(dim=-1)


def without(x: Tensor, hidden: Tensor | None) -> Tensor:
    """Return (N, T, C) with 0 where (N, T) is true."""
    return x if hidden is None else x.masked_fill(hidden[..., None], 0)
