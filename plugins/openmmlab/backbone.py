"""Depths of the ResNet that train on a laptop, and what a depth's residual block is.

14 and 26 layers are one and two bottlenecks a stage, counted as in timm's ``resnet14t`` and
``resnet26``. Both frameworks keep their depths in ``ResNet.arch_settings``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["BASIC_DEPTHS", "SMALL_DEPTHS", "expansion", "small_depths"]

BASIC_DEPTHS = (18, 34)
"""Layers of the ResNets whose residual block has two 3x3 convolutions (BasicBlock)."""

SMALL_DEPTHS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2)}
"""Layers, and the bottlenecks of each stage."""


def expansion(depth: int) -> int:
    """Return the output channels of a residual block divided by its inner channels."""
    return 1 if depth in BASIC_DEPTHS else 4


def small_depths(resnet: Any, bottleneck: Any) -> dict[int, Any]:
    """Return the ``arch_settings`` of a framework's ResNet with the small depths added."""
    small = {depth: (bottleneck, blocks) for depth, blocks in SMALL_DEPTHS.items()}
    return {**resnet.arch_settings, **small}
