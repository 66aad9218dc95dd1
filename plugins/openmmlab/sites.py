"""Put a mechanism at the stages of a ResNet, in the words of its config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plugins.attention.core.registry import DEFORMABLE, registered
from plugins.attention.core.word import Mechanism
from plugins.openmmlab.backbone import BASIC_DEPTHS

__all__ = ["STAGES", "attend", "backbone_arguments", "block", "check"]

STAGES = ("conv2", "conv3", "conv4", "conv5")
"""The stages of a ResNet as the papers number them; the backbone counts them 0 to 3."""


def check(mechanism: Mechanism, kv_stride: int) -> None:
    """Raise ValueError if no block can be built for the mechanism."""
    block(mechanism, 1, kv_stride)


def block(mechanism: Mechanism, heads: int, kv_stride: int) -> dict[str, Any] | None:
    """Return the config of the block that stands after a convolution, None if there is none.

    Raises
    ------
    ValueError
        If the mechanism should have a block and has none for these arguments.
    """
    kind = registered(mechanism.base)
    if mechanism.base == "none":
        return None
    if kind.block is None:
        raise ValueError(f"mechanism {mechanism}: {kind.word!r} has no block for feature maps")
    return {"type": _type(kind.block), **kind.block_arguments(mechanism, heads, kv_stride)}


def _type(block: str) -> str:
    """Name a block as MMEngine's registry finds it.

    :mod:`plugins.openmmlab.blocks` registers those of the files in ``plugins/attention`` under
    their class names; any other is found by its dotted name.
    """
    file, _, name = block.rpartition(".")
    return name if file.rpartition(".")[0] == "plugins.attention" else block


def attend(
    backbone: dict[str, Any],
    mechanism: Mechanism,
    sites: Sequence[str],
    heads: int,
    kv_stride: int,
    deformable_stages: Sequence[str] | None = None,
) -> None:
    """Change the config of a ResNet, of any depth, into one with the mechanism at the sites.

    Deformable convolution stands at the sites, too, unless `deformable_stages` says where.
    """
    arguments = (mechanism, sites, heads, kv_stride, deformable_stages)
    if backbone["depth"] not in BASIC_DEPTHS:
        backbone.update(backbone_arguments(*arguments))
    elif insertions := _insertions(*arguments):
        backbone.update(type="WithBlocks", backbone=backbone["type"], insert=insertions)


def _insertions(
    mechanism: Mechanism,
    sites: Sequence[str],
    heads: int,
    kv_stride: int,
    deformable_stages: Sequence[str] | None,
) -> list[dict[str, Any]]:
    """Return what ``plugins.openmmlab.insertion`` is to put into BasicBlocks.

    Such a block has two 3x3 convolutions. The first stands for that of a bottleneck: with its
    normalisation and ReLU, of as many channels, followed by one more convolution before the sum.
    Deformable convolution takes its place, and the mechanism's block stands after it.
    """
    cfg = block(mechanism, heads, kv_stride)
    deformed = sites if deformable_stages is None else deformable_stages
    insertions = []
    for number, stage in enumerate(STAGES, 1):
        residual_blocks = f"layer{number}.*"
        if stage in deformed and mechanism.deformable:
            deformable = {"type": _type(str(registered(DEFORMABLE).block))}
            insertions.append({"instead_of": f"{residual_blocks}.conv1", "cfg": deformable})
        if stage in sites and cfg is not None:
            insertions.append({"before": f"{residual_blocks}.conv2", "cfg": cfg})
    return insertions


def backbone_arguments(
    mechanism: Mechanism,
    sites: Sequence[str],
    heads: int,
    kv_stride: int,
    deformable_stages: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return what to add to the config of a ResNet of bottlenecks.

    The block stands after the 3x3 convolution of every residual block of the stages in `sites`,
    with its normalisation and ReLU; deformable convolution takes that convolution's place, there or
    in the `deformable_stages`.
    """
    at = tuple(stage in sites for stage in STAGES)
    arguments: dict[str, Any] = {}
    if (cfg := block(mechanism, heads, kv_stride)) is not None:
        arguments["plugins"] = [{"cfg": cfg, "stages": at, "position": "after_conv2"}]
    if mechanism.deformable:
        arguments["dcn"] = {
            "type": _type(str(registered(DEFORMABLE).block)),
            "fallback_on_stride": False,
        }
        deformed = sites if deformable_stages is None else deformable_stages
        arguments["stage_with_dcn"] = tuple(stage in deformed for stage in STAGES)
    return arguments
