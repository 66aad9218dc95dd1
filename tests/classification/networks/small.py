"""The networks, small enough for finite differences."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from plugins.classification.networks.dynamic_capacity import DynamicCapacityNetwork
from plugins.classification.networks.recurrent_attention import RecurrentAttentionNetwork
from plugins.classification.networks.residual_attention import ResidualAttentionNetwork

__all__ = ["CLASSES", "NETWORKS", "made"]

CLASSES = 5


def _residual(**options: Any) -> nn.Module:
    sizes: dict[str, Any] = {"modules": (1, 1), "widths": (4, 8, 8), "stem": 2, "last_units": 1}
    return ResidualAttentionNetwork(CLASSES, **sizes | options)


def _dynamic(**options: Any) -> nn.Module:
    sizes = {"patches": 3, "patch": 10, "coarse_width": 3, "channels": 4, "top_width": 6}
    return DynamicCapacityNetwork(CLASSES, **sizes | options)


def _recurrent(**options: Any) -> nn.Module:
    sizes: dict[str, Any] = {"scales": 2, "widths": (3, 4), "depths": (1, 2), "hidden": 5}
    return RecurrentAttentionNetwork(CLASSES, **sizes | options)


NETWORKS = {
    "residual attention": _residual,
    "dynamic capacity": _dynamic,
    "recurrent attention": _recurrent,
}


def made(name: str, **options: Any) -> Any:
    """A network whose normalisation has seen something."""
    torch.manual_seed(0)
    network = NETWORKS[name](**options)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        nn.init.uniform_(layer.weight, 0.5, 1.5)
        nn.init.uniform_(layer.bias, -0.1, 0.5)
        layer.momentum = None  # the mean of all that was seen
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 40, 40))
    for layer in layers:
        layer.momentum = 0.1
    return network
