"""Deformable convolution: the taps of a kernel move by learned, content-dependent offsets.

Dai et al. 2017, https://arxiv.org/abs/1703.06211 (version 1: offsets, no modulation); in the
notation of Zhu et al. 2019 the weight of key k for tap m of query q is the (bi)linear kernel
G(k, q + p_m + w_m . x_q).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DeformableConv2d"]

HALF = (torch.float16, torch.bfloat16)

COMPILED_ON = ("cuda",)
"""Devices that use mmcv's compiled operator, if it is there.

Not on a CPU: forward and backward the form in torch takes 0.2 to 0.3 of its time there (256
channels of 50x84, 512 of 25x42, one thread), and 0.1 on small maps (64 channels of 16x16). On a GPU
neither was measured: the operator does not keep the columns between the two passes.
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
    """

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
        """Convolve with given offsets, (N, deform_groups * 2 * K * K, H', W')."""
        if x.device.type in COMPILED_ON:
            compiled = _compiled()
            if compiled is not None:
                shape = (self.stride, self.padding, self.dilation, 1, self.deform_groups)
                # It calculates in the type of the offsets, knows no bfloat16, and in half precision
                # a position is off by a part of a pixel.
                exact = offset.float() if offset.dtype in HALF else offset
                out: Tensor = compiled(x, exact, self.weight, *shape)
                return out.to(offset.dtype)
        return self.sample_in_torch(x, offset)

    def sample_in_torch(self, x: Tensor, offset: Tensor) -> Tensor:
        """Compute :meth:`sample` with torch alone: one interpolation, one product."""
        batch, channels, height, width = x.shape
        out_height, out_width = offset.shape[-2:]
        size, groups = self.kernel_size, self.deform_groups
        offset = offset.view(batch * groups, size**2, 2, out_height, out_width)
        row = torch.arange(out_height, device=x.device) * self.stride - self.padding
        column = torch.arange(out_width, device=x.device) * self.stride - self.padding
        tap = torch.arange(size, device=x.device) * self.dilation
        row = row[:, None] + tap.repeat_interleave(size)[:, None, None]  # (taps, H', 1)
        column = column[None, :] + tap.repeat(size)[:, None, None]  # (taps, 1, W')
        y, x_ = row + offset[:, :, 0], column + offset[:, :, 1]
        # grid_sample wants (x, y) with -1 and 1 at the outer edges of the border pixels.
        grid = torch.stack([_unit(x_, width), _unit(y, height)], dim=-1)
        # The taps form one tall picture; its layout in memory is that of the product's columns.
        sampled = F.grid_sample(
            x.reshape(batch * groups, channels // groups, height, width),
            grid.flatten(1, 2),
            padding_mode="zeros",
            align_corners=False,
        )
        columns = sampled.view(batch, channels * size**2, out_height * out_width)
        weight = self.weight.flatten(1).expand(batch, -1, -1)
        out = torch.bmm(weight, columns)
        return out.view(batch, self.out_channels, out_height, out_width)


@functools.cache
def _compiled() -> Callable[..., Tensor] | None:
    """Return mmcv's operator, None without mmcv; not imported before it is wanted."""
    try:
        from mmcv.ops import deform_conv2d
    except ImportError:
        return None
    operator: Callable[..., Tensor] = deform_conv2d
    return operator


def _unit(coordinate: Tensor, size: int) -> Tensor:
    """Pixel coordinate to grid_sample's [-1, 1]."""
    return (2 * coordinate + 1) / size - 1
