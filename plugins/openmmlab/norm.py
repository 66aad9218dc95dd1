"""Batch normalisation by the statistics of the whole batch, over all processes.

Otherwise each process would normalise by its own few images, and a run's result would depend on
the number of processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["JointBatchNorm2d", "normalise_jointly"]


class JointBatchNorm2d(_BatchNorm):  # MMEngine initialises layers by the name of their direct base
    """``torch.nn.SyncBatchNorm`` for a CPU; torch's own refuses CPUs.

    Takes and returns (N, C, H, W); N, H and W may differ between the processes.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() != 4:
            raise ValueError(f"expected (N, C, H, W), got {input.dim()} dimensions")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise; all processes must call this together while they train."""
        if not (self.training and distributed.is_initialized()):
            return super().forward(input)
        self._check_input_dim(input)
        kind = input.dtype
        input = input.to(torch.promote_types(kind, torch.float32))
        pixels = input.new_tensor([input.numel() / input.shape[1]])
        # Two sums one after the other: a variance from sums of squares would lose its digits.
        total, sums = _Sum.apply(torch.cat([pixels, input.sum((0, 2, 3))])).split(
            [1, input.shape[1]]
        )
        mean = sums / total
        centred = input - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / total
        with torch.no_grad():
            assert self.momentum is not None
            assert self.num_batches_tracked is not None
            assert self.running_mean is not None
            assert self.running_var is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * total / (total - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(kind)


class _Sum(torch.autograd.Function):
    """Sum over the processes. Every process's loss depends on it, hence the sum of gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        values = values.clone()
        distributed.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        distributed.all_reduce(gradient)
        return gradient


def normalise_jointly(model: nn.Module, device: str) -> nn.Module:
    """Return `model` with joint instead of plain batch normalisation; the parameters stay."""
    if device == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                parent.add_module(name, _joint(child))
    return model


def _joint(norm: nn.BatchNorm2d) -> JointBatchNorm2d:
    joint = JointBatchNorm2d(norm.num_features, norm.eps, norm.momentum)
    for kept in (norm._parameters, norm._buffers):
        for name, tensor in kept.items():
            setattr(joint, name, tensor)
    return joint.train(norm.training)
