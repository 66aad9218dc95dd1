"""Put a mechanism at the stages of a ResNet, in the words of its config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plugins.attention.mechanism import Mechanism

__all__ = ["STAGES", "backbone_arguments", "block", "check"]

STAGES = ("conv2", "conv3", "conv4", "conv5")
"""The stages of a ResNet as the papers number them; the backbone counts them 0 to 3."""


def check(mechanism: Mechanism, kv_stride: int) -> None:
    """Raise ValueError if no block can be built for the mechanism."""
    if (
        mechanism.terms is not None
        and mechanism.spatial_range is not None
        and mechanism.spatial_range < kv_stride - 1
    ):
        raise ValueError(
            f"mechanism {mechanism}: with kv_stride {kv_stride} a range below {kv_stride - 1} "
            "leaves queries without any key"
        )


def block(mechanism: Mechanism, heads: int, kv_stride: int) -> dict[str, Any] | None:
    """Return the config of the block that stands after a convolution, None if there is none."""
    if mechanism.base == "none":
        return None
    if mechanism.base == "dynamic":
        return {"type": "DynamicConv2d", "heads": heads, "kernel_size": mechanism.kernel_size}
    return {
        "type": "GeneralizedAttention2d",
        "heads": heads,
        "terms": mechanism.terms,
        "kv_stride": kv_stride,
        "spatial_range": mechanism.spatial_range,
    }


def backbone_arguments(
    mechanism: Mechanism, sites: Sequence[str], heads: int, kv_stride: int
) -> dict[str, Any]:
    """Return what to add to a ResNet's config.

    The block stands after the 3x3 convolution of every residual block of the stages in `sites`,
    with its normalisation and ReLU; deformable convolution takes that convolution's place.
    """
    at = tuple(stage in sites for stage in STAGES)
    arguments: dict[str, Any] = {}
    if (cfg := block(mechanism, heads, kv_stride)) is not None:
        arguments["plugins"] = [{"cfg": cfg, "stages": at, "position": "after_conv2"}]
    if mechanism.deformable:
        arguments["dcn"] = {"type": "DeformableConv2d", "fallback_on_stride": False}
        arguments["stage_with_dcn"] = at
    return arguments
