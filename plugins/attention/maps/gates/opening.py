"""How gates start: open, so that a pretrained network is hardly disturbed by them.

The papers train from scratch and start at sigmoid(0) = 1/2. Each gate would then halve what a
pretrained layer passes on, and there is one in every residual block.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["OPEN", "constant"]

OPEN = 4.0
"""The logit at which gates start: sigmoid(4) = 0.982, whose slope still lets them learn."""


@torch.no_grad()
def constant(layer: nn.Module, value: float) -> None:
    """Let a layer start as a constant: its weight is 0, its bias `value`."""
    assert isinstance(layer.weight, nn.Parameter)
    assert isinstance(layer.bias, nn.Parameter)
    layer.weight.zero_()
    layer.bias.fill_(value)
