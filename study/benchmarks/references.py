"""The modules that ours are compared with, by the word of `cases.REFERENCES`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from fairseq.modules import DynamicConv, MultiheadAttention
from mmcv.cnn.bricks.generalized_attention import GeneralizedAttention
from mmcv.ops import DeformConv2dPack
from torch import Tensor, nn

from plugins.attention import GeneralizedAttention1d, GeneralizedAttention2d
from plugins.attention.sequences.dense import dense
from study.benchmarks.cases import HEADS, Case
from study.benchmarks.flex import FlexAttention2d

__all__ = ["reference"]


def reference(case: Case) -> nn.Module:
    """Build the other side of a case, whose weights bear the names of ours."""
    return _BUILDERS[case.reference](case)


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


class DenseForm2d(GeneralizedAttention2d):
    """Ours by the definition: every energy, a softmax, a product."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W)."""
        return self.dense(x)


class DenseForm1d(GeneralizedAttention1d):
    """Ours by the definition: every energy, a softmax, a product."""

    def __init__(self, *arguments: Any, causal: bool) -> None:
        super().__init__(*arguments)
        self.causal = causal

    def forward(self, query: Tensor, memory: Tensor | None = None, **options: Any) -> Tensor:
        """Attend; `query` and the result are (N, T, C)."""
        return dense(self, query, memory, causal=self.causal)


class FairseqAttention(MultiheadAttention):
    """fairseq's attention as its layers call it: no weights returned, hence fused.

    A decoder's layer hands over the mask of the future.
    """

    def __init__(self, channels: int, length: int, causal: bool) -> None:
        super().__init__(channels, HEADS, self_attention=True)
        # Ours has neither. The query's is a key-content term; the key's cancels in the softmax.
        nn.init.zeros_(self.q_proj.bias)
        nn.init.zeros_(self.k_proj.bias)
        future = torch.full((length, length), -math.inf).triu(1) if causal else None
        self.register_buffer("future", future, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (T, N, C)."""
        return super().forward(x, x, x, need_weights=False, attn_mask=self.future)[0]


def _mmcv(case: Case) -> nn.Module:
    return GeneralizedAttention(
        case.channels,
        num_heads=HEADS,
        kv_stride=case.kv_stride,
        attention_type=case.configuration,
    )


def _dense_form(case: Case) -> nn.Module:
    arguments = (case.channels, HEADS, case.configuration)
    if len(case.shape) == 4:
        return DenseForm2d(*arguments, case.kv_stride)
    return DenseForm1d(*arguments, causal=case.causal)


def _fairseq(case: Case) -> nn.Module:
    if case.taps is None:
        return FairseqAttention(case.channels, case.shape[1], case.causal)
    # With its CUDA kernel, where that was built and there is a GPU.
    return DynamicConv(
        case.channels, case.taps, padding_l=case.taps // 2, num_heads=HEADS, weight_softmax=True
    )


_BUILDERS: dict[str, Callable[[Case], nn.Module]] = {
    "mmcv": _mmcv,
    "sdpa": lambda case: FusedAttention(case.channels, case.kv_stride),
    "dense": lambda case: DenseSaliency(case.channels, HEADS, case.configuration, case.kv_stride),
    "dense-form": _dense_form,
    "flex": lambda case: FlexAttention2d(case.channels, HEADS, case.configuration, case.kv_stride),
    "mmcv-dcn": lambda case: DeformConv2dPack(case.channels, case.channels, 3, padding=1),
    "conv": lambda case: nn.Conv2d(case.channels, case.channels, 3, padding=1, bias=False),
    "fairseq": _fairseq,
}
