"""Convolution with a kernel for each position: the cheapest exact way to apply given kernels.

Unfolding copies the input once for each tap. The copy costs more than the arithmetic; `unfolded` is
kept as the definition. On a CPU, forward and backward, shifting the input was cheapest for few
taps. For more taps a product with a band matrix was cheapest, though it wastes arithmetic on zeros.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["convolve", "convolve2d", "unfolded", "unfolded2d"]

SHIFTED_TAPS = 5
"""Most taps along an axis that are applied by shifting, elementwise; more are by band matrix."""

WHOLE = 64
"""Longest sequence whose band matrix is not cut into chunks."""

CHUNK = 32
"""Positions of a chunk; measured best of 8, 16, 32 and 64 for 31 taps, as good for 7 and 15."""


def convolve(weight: Tensor, x: Tensor, before: int, start: int = 0) -> Tensor:
    """Apply kernels to a sequence.

    Parameters
    ----------
    weight: Tensor
        (N, T, H, K), the kernels of the positions from `start` to the end; the channels of one of
        H heads share a kernel.
    x: Tensor
        (N, start + T, C). Taps beyond it see zeros.
    before: int
        Taps before the position.
    start: int
        First position to compute.

    Returns
    -------
    Tensor
        (N, T, C).
    """
    _, length, _, taps = weight.shape
    weight = weight.to(x.dtype)
    if taps > SHIFTED_TAPS and start == 0 and length <= WHOLE:
        band = _band(weight.transpose(1, 2))[..., before : before + length]
        out = band @ x.unflatten(-1, (weight.shape[2], -1)).transpose(1, 2)
        return out.transpose(1, 2).flatten(2)
    x = F.pad(x, (0, 0, before, taps - 1 - before))[:, start:]
    if taps <= SHIFTED_TAPS:
        heads = x.unflatten(-1, (weight.shape[2], -1))
        out = heads[:, :length] * weight[..., :1]
        for tap in range(1, taps):
            out = out + heads[:, tap : tap + length] * weight[..., tap : tap + 1]
        return out.flatten(2)
    return _in_chunks(weight, x)


def convolve2d(weight: Tensor, x: Tensor) -> Tensor:
    """Apply kernels (N, H, K, K, height, width) to a map (N, C, height, width)."""
    batch, heads, size, _, height, width = weight.shape
    weight = weight.to(x.dtype)
    edge = size // 2
    if size <= SHIFTED_TAPS:
        x = F.pad(x, (edge,) * 4).unflatten(1, (heads, -1))
        out = None
        for row in range(size):
            for column in range(size):
                moved = x[..., row : row + height, column : column + width]
                term = moved * weight[:, :, row, column].unsqueeze(2)
                out = term if out is None else out + term
        assert out is not None
        return out.flatten(1, 2)
    # Each row of taps convolves the map's rows as if they were so many sequences.
    x = F.pad(x, (0, 0, edge, edge)).permute(0, 2, 3, 1).contiguous()
    by_row = weight.permute(2, 0, 4, 5, 1, 3).flatten(1, 2)  # (K, N * height, width, H, K)
    out = None
    for row in range(size):
        term = convolve(by_row[row], x[:, row : row + height].flatten(0, 1), edge)
        out = term if out is None else out + term
    assert out is not None
    return out.unflatten(0, (batch, height)).permute(0, 3, 1, 2)


def unfolded(weight: Tensor, x: Tensor, before: int, start: int = 0) -> Tensor:
    """Compute `convolve` by the plain form of the definition."""
    _, _, heads, taps = weight.shape
    x = F.pad(x, (0, 0, before, taps - 1 - before))[:, start:]
    window = x.unfold(1, taps, 1).unflatten(2, (heads, -1))  # (N, T, H, C / H, K)
    return (window @ weight.to(x.dtype).unsqueeze(-1)).flatten(2)


def unfolded2d(weight: Tensor, x: Tensor) -> Tensor:
    """Compute `convolve2d` by the plain form of the definition."""
    batch, heads, size, _, height, width = weight.shape
    window = F.unfold(x, size, padding=size // 2).view(batch, heads, -1, size**2, height, width)
    weight = weight.flatten(2, 3).to(x.dtype).permute(0, 1, 3, 4, 2).unsqueeze(-2)
    return (
        (weight @ window.permute(0, 1, 4, 5, 3, 2)).squeeze(-2).permute(0, 1, 4, 2, 3).flatten(1, 2)
    )


def _band(weight: Tensor) -> Tensor:
    """Kernels (..., T, K) as rows of a band matrix (..., T, T + K - 1): row t starts at t."""
    length, taps = weight.shape[-2:]
    flat = F.pad(weight, (0, length)).flatten(-2)
    return flat[..., : length * (length + taps - 1)].unflatten(-1, (length, -1))


def _in_chunks(weight: Tensor, x: Tensor) -> Tensor:
    """Band matrices of chunks; `x` (N, T + K - 1, C) is padded."""
    _, length, heads, taps = weight.shape
    chunk = min(CHUNK, length)
    missing = -length % chunk
    kernels = F.pad(weight.transpose(1, 2), (0, 0, 0, missing)).unflatten(2, (-1, chunk))
    window = F.pad(x, (0, 0, 0, missing)).unfold(1, chunk + taps - 1, chunk)
    window = window.unflatten(2, (heads, -1)).permute(0, 2, 1, 4, 3)
    out = _band(kernels) @ window  # (N, H, chunks, chunk, C / H)
    return out.permute(0, 2, 3, 1, 4).flatten(1, 2)[:, :length].flatten(2)
