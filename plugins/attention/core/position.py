"""Sinusoidal encoding of relative positions, the R of the paper's E2 and E4."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["relative_sinusoid"]


def relative_sinusoid(difference: Tensor, dim: int, wavelength: float) -> Tensor:
    """Encode position differences by sines and cosines of geometric wavelengths.

    Parameters
    ----------
    difference: Tensor
        Any shape (...), query position minus key position, in positions of the input grid. The
        sign is that of mmcv's module and of Transformer-XL.
    dim: int
        Features a difference, half of them sines, half cosines; even.
    wavelength: float
        Base of the geometric series: 1000 in mmcv's 2-D module, 10000 in the Transformer.

    Returns
    -------
    Tensor
        (..., dim), float64: angles lose all meaning in half precision, so callers cast afterwards.
    """
    if dim % 2:
        raise ValueError(f"the position encoding needs an even number of features, got {dim}")
    half = dim // 2
    exponent = torch.arange(half, dtype=torch.float64, device=difference.device) / half
    angle = difference.to(torch.float64).unsqueeze(-1) / wavelength**exponent
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
