"""The two sides of a case, built from the same weights.

Each side gets its input in the layout of its library: fairseq's modules take (T, N, C), ours
(N, T, C). What is timed is a whole module, projections and residual included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from fairseq.modules import DynamicConv, MultiheadAttention
from mmcv.cnn.bricks.generalized_attention import GeneralizedAttention
from mmcv.ops import DeformConv2dPack
from torch import Tensor, nn

from plugins.attention import (
    DeformableConv2d,
    DynamicConv1d,
    GeneralizedAttention1d,
    GeneralizedAttention2d,
)
from study.benchmarks.cases import HEADS, Case

__all__ = ["PASSES", "SIDES", "Side", "build"]

PASSES = ("forward", "forward+backward")
SIDES = ("ours", "reference")
WARM_UP_SIZE = 6  # rows, columns or tokens: calls every operator and takes a few milliseconds


@dataclass(frozen=True)
class Side:
    """A module and its input, ready to be called.

    Attributes
    ----------
    module: nn.Module
        In training mode; nothing in it is random.
    x: Tensor
        The input, a leaf that wants its gradient.
    seed: Tensor
        The gradient of the output, whose shape is that of the input.
    """

    module: nn.Module
    x: Tensor
    seed: Tensor

    def call(self, name: str) -> Callable[[], None]:
        """Return the function that runs one of `PASSES` once."""
        return self.forward if name == "forward" else self.step

    def forward(self) -> None:
        """Run without a graph, as in inference."""
        with torch.no_grad():
            self.module(self.x)

    def step(self) -> None:
        """Run with a graph, and compute the gradients of the input and of all parameters."""
        self.x.grad = None
        self.module.zero_grad(set_to_none=True)
        self.module(self.x).backward(self.seed)

    def warm_up(self) -> None:
        """Run both passes on a small input: threads start, libraries choose their kernels."""
        channels = 1 if self.x.dim() == 4 else 2
        size = [min(length, WARM_UP_SIZE) for length in self.x.shape]
        size[channels] = self.x.shape[channels]
        x = torch.randn(size, dtype=self.x.dtype, requires_grad=True)
        small = Side(self.module, x, torch.randn(size, dtype=self.x.dtype))
        small.forward()
        small.step()
        self.module.zero_grad(set_to_none=True)


def build(case: Case, side: str, dtype: torch.dtype = torch.float32) -> Side:
    """Build one of `SIDES` of a case; the same weights and input each time."""
    torch.manual_seed(0)
    ours = _ours(case)
    # These begin at 0, which would hide the attention and keep all taps on the grid.
    for name, parameter in ours.named_parameters():
        if name == "gamma":
            nn.init.constant_(parameter, 0.5)
        elif name == "conv_offset.weight":
            nn.init.normal_(parameter, std=0.02)  # moves a tap by about a pixel
    x, seed = torch.randn(case.shape, dtype=dtype), torch.randn(case.shape, dtype=dtype)
    module: nn.Module = ours
    if side == "reference":
        module = _BUILDERS[case.reference](case)
        # Weights that only ours has are the offsets, beside torch's plain convolution; weights
        # that only the reference has are biases, which start at 0.
        module.load_state_dict(ours.state_dict(), strict=False)
        if case.reference == "fairseq":
            x, seed = (value.transpose(0, 1).contiguous() for value in (x, seed))
    return Side(module.to(dtype), x.requires_grad_(), seed)


def _ours(case: Case) -> nn.Module:
    channels = _channels(case)
    if case.configuration == "deformable":
        return DeformableConv2d(channels, channels)
    if case.configuration.startswith("dynamic-"):
        return DynamicConv1d(channels, HEADS, _taps(case))
    if len(case.shape) == 3:
        return GeneralizedAttention1d(channels, HEADS, case.configuration)
    return GeneralizedAttention2d(channels, HEADS, case.configuration, case.kv_stride)


def _channels(case: Case) -> int:
    return case.shape[1] if len(case.shape) == 4 else case.shape[2]


def _taps(case: Case) -> int:
    return int(case.configuration.removeprefix("dynamic-"))


class FusedAttention(nn.Module):
    """The least that `1000` can cost: torch's fused attention between the four projections.

    The parameters are those of ``GeneralizedAttention2d``. Features come last, since the fused
    kernel wants those of a head side by side and is left for a dense one otherwise.
    """

    def __init__(self, channels: int, kv_stride: int) -> None:
        super().__init__()
        self.kv_stride = kv_stride
        self.query_conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.key_conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.value_conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.proj_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W)."""
        keys = x[..., :: self.kv_stride, :: self.kv_stride]
        query, key, value = (
            _project(source, conv).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for source, conv in (
                (x, self.query_conv),
                (keys, self.key_conv),
                (keys, self.value_conv),
            )
        )
        mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        mixed = mixed.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:])
        return self.gamma * self.proj_conv(mixed) + x


def _project(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """(N, C, H, W) to (N, H * W, C)."""
    projected: Tensor = conv(x.contiguous(memory_format=torch.channels_last))
    return projected.flatten(2).transpose(1, 2)


class DenseSaliency(GeneralizedAttention2d):
    """`0010` with a row of energies for every query, although all rows are the same."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W)."""
        keys = x[..., :: self.kv_stride, :: self.kv_stride]
        key, value = (
            conv(keys).flatten(2).unflatten(1, (self.heads, self.head_dim))
            for conv in (self.key_conv, self.value_conv)
        )  # (N, M, d, Hk * Wk)
        energy = self.appr_bias.view(self.heads, 1, self.head_dim) @ key
        queries = x.shape[2] * x.shape[3]
        weights = energy.expand(-1, -1, queries, -1).softmax(dim=-1)
        mixed = (weights @ value.transpose(2, 3)).transpose(2, 3)
        return self.gamma * self.proj_conv(mixed.reshape(x.shape)) + x


class FairseqAttention(MultiheadAttention):
    """fairseq's attention as its encoder layer calls it: no weights returned, hence fused."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, HEADS, self_attention=True)
        # Ours has neither. The query's is a key-content term; the key's cancels in the softmax.
        nn.init.zeros_(self.q_proj.bias)
        nn.init.zeros_(self.k_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (T, N, C)."""
        return super().forward(x, x, x, need_weights=False)[0]


def _mmcv(case: Case) -> nn.Module:
    return GeneralizedAttention(
        _channels(case),
        num_heads=HEADS,
        kv_stride=case.kv_stride,
        attention_type=case.configuration,
    )


def _fairseq(case: Case) -> nn.Module:
    if case.configuration == "1000":
        return FairseqAttention(_channels(case))
    taps = _taps(case)
    return DynamicConv(
        _channels(case), taps, padding_l=taps // 2, num_heads=HEADS, weight_softmax=True
    )


_BUILDERS: dict[str, Callable[[Case], nn.Module]] = {
    "mmcv": _mmcv,
    "sdpa": lambda case: FusedAttention(_channels(case), case.kv_stride),
    "dense": lambda case: DenseSaliency(_channels(case), HEADS, case.configuration, case.kv_stride),
    "mmcv-dcn": lambda case: DeformConv2dPack(_channels(case), _channels(case), 3, padding=1),
    "conv": lambda case: nn.Conv2d(_channels(case), _channels(case), 3, padding=1, bias=False),
    "fairseq": _fairseq,
}
