"""Deformable convolution: the taps of a kernel move by learned, content-dependent offsets.

Dai et al. 2017, https://arxiv.org/abs/1703.06211 (version 1: offsets, no modulation); in the
notation of Zhu et al. 2019 the weight of key k for tap m of query q is the (bi)linear kernel
G(k, q + p_m + w_m . x_q).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.kernels import mmcv_deform_conv
from plugins.attention.kernels.constants import constant

__all__ = ["DeformableConv2d"]

FORMS = {"cuda": "mmcv"}
"""Which form calculates on a type of device, where mmcv is compiled for it; "torch" elsewhere.

On a CPU, forward and backward, the form in torch takes 0.2 to 0.3 of the time of mmcv's operator
(256 channels of 50x84, 512 of 25x42, one thread), and 0.1 on small maps (64 channels of 16x16). On
a GPU the two were not compared: mmcv's does not keep the columns between the two passes.
"""


class DeformableConv2d(nn.Module):
    """Deformable convolution of a feature map, instead of a plain convolution.

    Parameter names, shapes and the order of offsets (row, column for each tap) are those of mmcv's
    ``DeformConv2dPack``, so that its checkpoints load. Offsets start at 0: the module starts as
    the plain convolution with its weight.

    Parameters
    ----------
    in_channels, out_channels: int
        Channels in and out.
    kernel_size, stride, padding, dilation: int
        As of ``torch.nn.Conv2d``.
    deform_groups: int
        Groups of input channels that have offsets of their own.
    bias: bool
        Not offered by mmcv's module either; must be False.

    Attributes
    ----------
    form: str, optional
        ``"mmcv"`` or ``"torch"``, to have that one calculate; None: as in `FORMS`.
    """

    form: str | None = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
        dilation: int = 1,
        deform_groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if bias:
            raise ValueError("deformable convolution has no bias")
        if in_channels % deform_groups:
            raise ValueError(
                f"deform_groups ({deform_groups}) must divide in_channels ({in_channels})"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride = kernel_size, stride
        self.padding, self.dilation = padding, dilation
        self.deform_groups = deform_groups
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.conv_offset = nn.Conv2d(
            in_channels, deform_groups * 2 * kernel_size**2, kernel_size, stride, padding, dilation
        )
        # The plain convolution's product remains; only the offsets cost more.
        self.conv_offset.is_mechanism = True  # type: ignore[assignment]
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise the kernel like a convolution before a ReLU, and the offsets with 0."""
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.conv_offset.weight)
        assert self.conv_offset.bias is not None
        nn.init.zeros_(self.conv_offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) to (N, C', H', W')."""
        return self.sample(x, self.conv_offset(x))

    def sample(self, x: Tensor, offset: Tensor) -> Tensor:
        """Convolve with given offsets, (N, deform_groups * 2 * K * K, H', W').

        Positions are calculated in single precision at least. The result has the type of the
        offsets, and like that of a plain convolution the layout of `x` in memory.
        """
        form = self.form or _form_on(x.device.type)
        if form == "mmcv" and mmcv_deform_conv.fits(x, offset, self.weight):
            shape = (self.stride, self.padding, self.dilation, self.deform_groups)
            out = mmcv_deform_conv.convolve(x, offset, self.weight, shape)
        else:
            out = self.sample_in_torch(x, offset)
        last = torch.channels_last
        if x.is_contiguous(memory_format=last) and not x.is_contiguous():
            out = out.contiguous(memory_format=last)
        return out

    def sample_in_torch(self, x: Tensor, offset: Tensor) -> Tensor:
        """Compute :meth:`sample` with torch alone: one interpolation, one product."""
        batch, channels, height, width = x.shape
        out_height, out_width = offset.shape[-2:]
        groups, taps = self.deform_groups, self.kernel_size**2
        exact = torch.float64 if torch.float64 in (x.dtype, offset.dtype) else torch.float32
        shape = (self.kernel_size, self.stride, self.padding, self.dilation)
        centers = _centers(offset.device, (height, width), (out_height, out_width), shape, exact)
        per_pixel = _per_pixel(offset.device, height, width, exact)
        # grid_sample wants (x, y), and the two axes apart in memory.
        moved = offset.reshape(batch * groups, taps, 2, out_height, out_width).flip(2)
        grid = torch.addcmul(centers, moved.transpose(1, 2), per_pixel)  # (N, 2, taps, H', W')
        # The taps form one tall picture; its layout in memory is that of the product's columns.
        sampled = F.grid_sample(
            x.reshape(batch * groups, channels // groups, height, width).to(exact),
            grid.flatten(2, 3).permute(0, 2, 3, 1),
            padding_mode="zeros",
            align_corners=False,
        )
        columns = sampled.view(batch, channels * taps, out_height * out_width).to(offset.dtype)
        weight = self.weight.flatten(1).to(offset.dtype).expand(batch, -1, -1)
        return torch.bmm(weight, columns).unflatten(2, (out_height, out_width))


def _form_on(device: str) -> str:
    form = FORMS.get(device, "torch")
    return form if form == "torch" or mmcv_deform_conv.is_compiled_for(device) else "torch"


@constant
def _centers(
    device: torch.device,
    size: tuple[int, int],
    out_size: tuple[int, int],
    shape: tuple[int, int, int, int],
    kind: torch.dtype,
) -> Tensor:
    """Columns and rows of the taps that do not move, (2, taps, H', W'), as grid_sample counts.

    It has -1 and 1 at the outer edges of the border pixels.
    """
    kernel_size, stride, padding, dilation = shape
    axes = []
    for length, out_length in zip(size, out_size, strict=True):
        position = torch.arange(out_length, dtype=kind, device=device) * stride - padding
        tap = torch.arange(kernel_size, dtype=kind, device=device) * dilation
        axes.append((2 * (tap[:, None] + position) + 1) / length - 1)
    rows, columns = axes
    every = (kernel_size, kernel_size, *out_size)
    grid = [columns[None, :, None, :].expand(every), rows[:, None, :, None].expand(every)]
    return torch.stack(grid).flatten(1, 2)


@constant
def _per_pixel(device: torch.device, height: int, width: int, kind: torch.dtype) -> Tensor:
    """Return what a pixel is along columns and rows, as grid_sample counts: (2, 1, 1, 1)."""
    sizes = [torch.full((1, 1, 1), 2 / size, dtype=kind, device=device) for size in (width, height)]
    return torch.stack(sizes)
