"""Where mechanisms stand in a ResNet, and its config with them. Imports no framework.

A site is a stage of the backbone, ``conv2`` to ``conv5``; the image, before the backbone; or any
module of the backbone by its path, as :mod:`plugins.openmmlab.insertion` reads it:
``before:layer3.*.conv3``, ``after:layer4``, ``instead_of:layer4.*.conv2``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from plugins.attention.core.mechanism import Mechanism
from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.standing import parts_at
from plugins.attention.core.word import Word
from plugins.attention.mechanisms.deformable import Deformable
from plugins.openmmlab.backbone import BASIC_DEPTHS, expansion

__all__ = ["IMAGE", "STAGES", "attend", "backbone_arguments", "block", "by_path", "frozen", "site"]

STAGES = ("conv2", "conv3", "conv4", "conv5")
"""The stages of a ResNet as the papers number them; the backbone counts them 0 to 3."""

IMAGE = "image"
"""The network's input."""

IN_A_BLOCK = (Place.AFTER, Place.INSTEAD, Place.BRANCH)
"""What a residual block has to offer."""

ON_A_MAP = (Place.AFTER, Place.BRANCH, Place.BACKBONE, Place.INPUT)
"""What a path offers where a feature map passes from one module to the next."""

_PATH = re.compile(r"(before|after|instead_of):([\w.*?\[\]-]+)")


def by_path(name: str) -> bool:
    """Tell whether a site is named by the path of a module."""
    return _PATH.fullmatch(name) is not None


def site(
    name: str,
    channels: int,
    depth: int,
    heads: int,
    kv_stride: int,
    strides: Sequence[int],
    *,
    image: tuple[int, int] = (0, 0),
    pretrained: bool = False,
    aligned: bool = False,
) -> MapSite:
    """Return what is known of a site of a ResNet.

    Parameters
    ----------
    name: str
        A stage, `IMAGE`, or a path.
    channels, depth: int
        Channels of the first stage, and layers of the network.
    heads, kv_stride: int
        Those of the recipe.
    strides: sequence of int
        Pixels between two positions, by stage.
    image: (int, int)
        Height and width of the largest image that it learns from; 0 if they are not known.
    pretrained: bool
        Whether the network starts from pretrained weights.
    aligned: bool
        Whether labels belong to positions of the image.

    Raises
    ------
    ValueError
        If the network has no such site.
    """
    options: dict[str, Any] = {
        "heads": heads,
        "kv_stride": kv_stride,
        "pretrained": pretrained,
        "aligned": aligned,
    }
    if name == IMAGE:
        return MapSite(places=(Place.INPUT,), channels=3, stride=1, **options)
    if name in STAGES:
        number = STAGES.index(name)
        width = channels * 2**number
        return MapSite(
            places=IN_A_BLOCK,
            channels=width,
            branch_channels=width * expansion(depth),
            stride=strides[number],
            size=(-(-image[0] // strides[number]), -(-image[1] // strides[number])),
            **options,
        )
    if (path := _PATH.fullmatch(name)) is not None:
        places = (Place.INSTEAD,) if path[1] == "instead_of" else ON_A_MAP
        return MapSite(places=places, **options)
    raise ValueError(f"no site {name!r}")


def frozen(name: str, stages: int) -> bool:
    """Tell whether what stands at a site is not trained where the first stages are frozen.

    `stages` counts those after the stem; -1: none, nor the stem.
    """
    layers = [f"layer{number}" for number in range(1, stages + 1)]
    if name in STAGES:
        return STAGES.index(name) < stages
    if not by_path(name):
        return False  # the image: its block belongs to the backbone
    where, _, path = name.partition(":")
    first, *inside = path.split(".")
    if inside:
        return any(fnmatchcase(layer, first) for layer in layers)
    return where == "instead_of" and stages >= 0 and fnmatchcase("conv1", first)


def block(part: Mechanism, place: Place, heads: int, kv_stride: int) -> dict[str, Any]:
    """Return the config of a mechanism's block, to which the backbone adds the channels."""
    from plugins.openmmlab.blocks import block_config

    return block_config(part, place, heads, kv_stride)


def attend(
    backbone: dict[str, Any],
    word: Word,
    sites: Sequence[str],
    heads: int,
    kv_stride: int,
    deformable_stages: Sequence[str] | None = None,
) -> None:
    """Change the config of a ResNet, of any depth, into one with the mechanisms at the sites.

    So does deformable convolution, unless `deformable_stages` names other stages.
    """
    arguments = (word, sites, heads, kv_stride, deformable_stages)
    insertions = []
    if backbone["depth"] in BASIC_DEPTHS:
        insertions += _in_basic_blocks(*arguments)
    else:
        backbone.update(backbone_arguments(*arguments))
    first = "stem.0" if backbone.get("deep_stem") or "V1c" in backbone["type"] else "conv1"
    paths = {name: name for name in sites if by_path(name)}
    if IMAGE in sites:
        paths[IMAGE] = f"before:{first}"
    for name, path in paths.items():
        where, _, module = path.partition(":")
        for place, part in _parts(word, name, heads, kv_stride).items():
            insertions.append({where: module, "cfg": block(part, place, heads, kv_stride)})
    if insertions:
        backbone.update(type="WithBlocks", backbone=backbone["type"], insert=insertions)


def _parts(word: Word, name: str, heads: int, kv_stride: int) -> dict[Place, Mechanism]:
    return parts_at(word, site(name, 1, BASIC_DEPTHS[0], heads, kv_stride, (1, 1, 1, 1)))


def _by_place(
    word: Word,
    sites: Sequence[str],
    heads: int,
    kv_stride: int,
    deformable_stages: Sequence[str] | None,
) -> Mapping[Place, tuple[dict[str, Any], tuple[str, ...]]]:
    """Return, for each place within residual blocks, the config and the stages that have it."""
    chosen = tuple(name for name in sites if name in STAGES)
    found = {}
    for place, part in _parts(word, STAGES[0], heads, kv_stride).items():
        stages = chosen
        if isinstance(part, Deformable) and deformable_stages is not None:
            stages = tuple(deformable_stages)
        if stages:
            found[place] = (block(part, place, heads, kv_stride), stages)
    return found


def _in_basic_blocks(*arguments: Any) -> list[dict[str, Any]]:
    """Return what ``plugins.openmmlab.insertion`` puts into BasicBlocks.

    Such a block has two 3x3 convolutions. The first takes the role of a bottleneck's: it has
    normalisation, ReLU and as many channels, and one more convolution follows before the sum.
    """
    where = {
        Place.INSTEAD: ("instead_of", "conv1"),
        Place.AFTER: ("before", "conv2"),
        Place.BRANCH: ("after", "bn2"),
    }
    by_place = _by_place(*arguments)
    insertions = []
    for number, stage in enumerate(STAGES, 1):
        for place, (key, module) in where.items():
            if place in by_place and stage in by_place[place][1]:
                path = f"layer{number}.*.{module}"
                insertions.append({key: path, "cfg": by_place[place][0]})
    return insertions


def backbone_arguments(
    word: Word,
    sites: Sequence[str],
    heads: int,
    kv_stride: int,
    deformable_stages: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return what to add to the config of a ResNet of bottlenecks.

    In every residual block of the stages in `sites`, the module stands after the 3x3 convolution
    with its normalisation and ReLU, or on the branch before the sum. Or it replaces that
    convolution; deformable convolution does so in the `deformable_stages`, if there are any.
    """
    arguments: dict[str, Any] = {}
    plugins = []
    for place, (cfg, stages) in _by_place(word, sites, heads, kv_stride, deformable_stages).items():
        at = tuple(stage in stages for stage in STAGES)
        if place is Place.INSTEAD:
            arguments["dcn"] = {**cfg, "fallback_on_stride": False}
            arguments["stage_with_dcn"] = at
        else:
            position = "after_conv2" if place is Place.AFTER else "after_conv3"
            plugins.append({"cfg": cfg, "stages": at, "position": position})
    if plugins:
        arguments["plugins"] = plugins
    return arguments
