"""Convolution with a kernel for each position: the cheapest exact way to apply given kernels.

`unfolded` is the definition: it copies the input once for each tap and multiplies the copies. On a
CPU the copy costs more than the arithmetic. There, forward and backward, shifting the input was
cheapest for few taps, and for more a product with a band matrix, though it wastes arithmetic on
zeros. On a GPU what counts is how many operators are launched, whatever the taps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from plugins.attention.kernels import fairseq_dynamic_conv
from plugins.attention.kernels.column import on_gpu

__all__ = ["FORMS", "Forms", "convolve", "convolve2d", "unfolded", "unfolded2d"]


@dataclass(frozen=True)
class Forms:
    """Which form applies which kernels on a type of device, the first of them that may.

    Attributes
    ----------
    fairseq: bool
        Whether fairseq's compiled kernel is wanted, for sequences and where it is built.
    shifted: int
        Most taps along an axis that are applied by shifting, one after the other.
    windows: int
        Most taps in all that are applied as one elementwise product over windows. Between the
        product and its sum there is the input once for each tap.
    whole: int
        Longest sequence whose band matrix is not cut into chunks.
    chunk: int
        Positions of a chunk.
    rows: int
        Rows of taps of a map that are applied at once by band matrices, each to a copy of the map.
    """

    fairseq: bool
    shifted: int
    windows: int
    whole: int
    chunk: int
    rows: int


FORMS = {
    # Chunks of 32 were the best of 8, 16, 32 and 64 for 31 taps, and as good for 7 and 15.
    "cpu": Forms(fairseq=False, shifted=5, windows=0, whole=64, chunk=32, rows=1),
    # Fewest operators within bounds of memory; not measured.
    "cuda": Forms(fairseq=True, shifted=1, windows=25, whole=128, chunk=64, rows=7),
}
"""The forms by type of device; another has those of a CPU."""


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
    taps = weight.shape[-1]
    forms = _forms(x)
    weight = weight.to(x.dtype)
    if forms.fairseq and start == 0 and fairseq_dynamic_conv.fits(weight, x, before):
        return fairseq_dynamic_conv.convolve(weight, x, before)
    if taps <= forms.shifted:
        return _shifted(weight, _padded(x, taps, before, start))
    if taps <= forms.windows:
        window = _padded(x, taps, before, start).unfold(1, taps, 1)
        window = window.unflatten(2, (weight.shape[2], -1))  # (N, T, H, C / H, K)
        return _sum(weight.unsqueeze(3) * window, 1).flatten(2)
    return _banded(weight, x, before, start, forms)


def convolve2d(weight: Tensor, x: Tensor) -> Tensor:
    """Apply kernels (N, H, K, K, height, width) to a map (N, C, height, width)."""
    batch, heads, size, _, height, _ = weight.shape
    forms = _forms(x)
    weight = weight.to(x.dtype)
    edge = size // 2
    if size <= forms.shifted:
        return _shifted2d(weight, F.pad(x, (edge,) * 4))
    if size**2 <= forms.windows:
        window = F.pad(x, (edge,) * 4).unfold(2, size, 1).unfold(3, size, 1)
        window = window.unflatten(1, (heads, -1))  # (N, H, C / H, height, width, K, K)
        by_position = weight.permute(0, 1, 4, 5, 2, 3).unsqueeze(2)
        return _sum(by_position * window, 2).flatten(1, 2)
    # Each row of taps convolves the map's rows as if they were so many sequences.
    by_row = weight.permute(2, 0, 4, 5, 1, 3).flatten(1, 2)  # (K, N * height, width, H, K)
    x = F.pad(x, (0, 0, edge, edge)).permute(0, 2, 3, 1).contiguous()
    out = None
    for first in range(0, size, forms.rows):
        kernels = by_row[first : first + forms.rows]
        count = kernels.shape[0]
        rows = x[:, first : first + height + count - 1].unfold(1, count, 1).permute(4, 0, 1, 2, 3)
        term = _banded(kernels.flatten(0, 1), rows.flatten(0, 2), edge, 0, forms)
        if count > 1:
            term = term.unflatten(0, (count, -1)).sum(0, dtype=term.dtype)
        out = term if out is None else out + term
    assert out is not None
    return out.unflatten(0, (batch, height)).permute(0, 3, 1, 2)


def unfolded(weight: Tensor, x: Tensor, before: int, start: int = 0) -> Tensor:
    """Compute `convolve` by the plain form of the definition."""
    _, _, heads, taps = weight.shape
    window = _padded(x, taps, before, start).unfold(1, taps, 1)
    window = window.unflatten(2, (heads, -1))  # (N, T, H, C / H, K)
    return (window @ weight.to(x.dtype).unsqueeze(-1)).flatten(2)


def unfolded2d(weight: Tensor, x: Tensor) -> Tensor:
    """Compute `convolve2d` by the plain form of the definition."""
    batch, heads, size, _, height, width = weight.shape
    window = F.unfold(x, size, padding=size // 2).view(batch, heads, -1, size**2, height, width)
    weight = weight.flatten(2, 3).to(x.dtype).permute(0, 1, 3, 4, 2).unsqueeze(-2)
    return (
        (weight @ window.permute(0, 1, 4, 5, 3, 2)).squeeze(-2).permute(0, 1, 4, 2, 3).flatten(1, 2)
    )


def _forms(x: Tensor) -> Forms:
    return FORMS["cuda" if on_gpu(x.device) else "cpu"]


def _padded(x: Tensor, taps: int, before: int, start: int) -> Tensor:
    """What the taps of the positions from `start` on see, zeros included: (N, T + K - 1, C)."""
    return F.pad(x, (0, 0, before, taps - 1 - before))[:, start:]


def _sum(product: Tensor, axes: int) -> Tensor:
    """Sum over the last axes; autocast would give it another type."""
    return product.sum(tuple(range(-axes, 0)), dtype=product.dtype)


def _shifted(weight: Tensor, x: Tensor) -> Tensor:
    """One product a tap; `x` is padded."""
    _, length, heads, taps = weight.shape
    by_head = x.unflatten(-1, (heads, -1))
    out = by_head[:, :length] * weight[..., :1]
    for tap in range(1, taps):
        out = out + by_head[:, tap : tap + length] * weight[..., tap : tap + 1]
    return out.flatten(2)


def _shifted2d(weight: Tensor, x: Tensor) -> Tensor:
    """One product a tap; `x` is padded."""
    _, heads, size, _, height, width = weight.shape
    by_head = x.unflatten(1, (heads, -1))
    out = None
    for row in range(size):
        for column in range(size):
            moved = by_head[..., row : row + height, column : column + width]
            term = moved * weight[:, :, row, column].unsqueeze(2)
            out = term if out is None else out + term
    assert out is not None
    return out.flatten(1, 2)


def _banded(weight: Tensor, x: Tensor, before: int, start: int, forms: Forms) -> Tensor:
    """Products with band matrices, of the whole sequence or of chunks of it."""
    _, length, heads, taps = weight.shape
    weight = weight.transpose(1, 2)
    if start == 0 and length <= forms.whole:
        band = _band(weight)[..., before : before + length]
        out = band @ x.unflatten(-1, (heads, -1)).transpose(1, 2)
        return out.transpose(1, 2).flatten(2)
    x = _padded(x, taps, before, start)
    chunk = min(forms.chunk, length)
    missing = -length % chunk
    kernels = F.pad(weight, (0, 0, 0, missing)).unflatten(2, (-1, chunk))
    window = F.pad(x, (0, 0, 0, missing)).unfold(1, chunk + taps - 1, chunk)
    window = window.unflatten(2, (heads, -1)).permute(0, 2, 1, 4, 3)
    out = _band(kernels) @ window  # (N, H, chunks, chunk, C / H)
    return out.permute(0, 2, 3, 1, 4).flatten(1, 2)[:, :length].flatten(2)


def _band(weight: Tensor) -> Tensor:
    """Kernels (..., T, K) as rows of a band matrix (..., T, T + K - 1): row t starts at t."""
    length, taps = weight.shape[-2:]
    flat = F.pad(weight, (0, length)).flatten(-2)
    return flat[..., : length * (length + taps - 1)].unflatten(-1, (length, -1))
