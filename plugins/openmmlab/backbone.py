"""Depths of the ResNet that train on a laptop.

14 and 26 layers are one and two bottlenecks a stage, counted as in timm's ``resnet14t`` and
``resnet26``. Both frameworks keep their depths in ``ResNet.arch_settings``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["EXPANSION", "SMALL_DEPTHS", "small_depths"]

EXPANSION = 4
"""Channels that leave a bottleneck over channels inside."""

SMALL_DEPTHS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2)}
"""Layers, and the bottlenecks of each stage."""


def small_depths(resnet: Any, bottleneck: Any) -> dict[int, Any]:
    """Return the ``arch_settings`` of a framework's ResNet with the small depths added."""
    small = {depth: (bottleneck, blocks) for depth, blocks in SMALL_DEPTHS.items()}
    return {**resnet.arch_settings, **small}
