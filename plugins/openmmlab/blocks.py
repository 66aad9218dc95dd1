"""The mechanisms as layers that MMEngine's registry can build.

OpenMMLab's backbones build a plugin as ``cls(in_channels=..., **cfg)`` and name it in the model by
the class's ``_abbr_``. Generalized attention has the name of mmcv's own module, so that checkpoints
of either load into the other.

Your own config names a module, ``dict(type="GeneralizedAttention2d", terms="0010")``, or any
mechanism by its word, ``dict(type="Mechanism", word="0010", heads=8, kv_stride=2)``.
"""

from __future__ import annotations

import contextlib
from typing import Any

from mmengine.registry import MODELS
from torch import nn

from plugins.attention.core.mechanism import Mechanism
from plugins.attention.core.registry import BrokenMechanism, mechanism_class, names
from plugins.attention.core.site import Convolution, MapSite, Place
from plugins.attention.core.standing import build
from plugins.attention.core.word import Word
from plugins.attention.maps.deformable import DeformableConv2d
from plugins.attention.maps.dynamic import DynamicConv2d
from plugins.attention.maps.generalized import GeneralizedAttention2d
from plugins.openmmlab import (
    backbone_weights,  # noqa: F401  loads torchvision:// without torchvision
    insertion,  # noqa: F401  registers WithBlocks
)

__all__ = ["DeformableConv2d", "DynamicConv2d", "GeneralizedAttention2d", "block_config"]

ABBREVIATIONS: dict[Any, str] = {
    GeneralizedAttention2d: "gen_attention_block",
    DynamicConv2d: "dynamic_conv_block",
}
for module, name in ABBREVIATIONS.items():
    module._abbr_ = name
    MODELS.register_module(module=module)
# As the backbone's `dcn`, instead of the 3x3 convolution: dcn=dict(type="DeformableConv2d").
MODELS.register_module(module=DeformableConv2d)


@MODELS.register_module("Mechanism")
class _Block:
    """Builds the module of one mechanism, and is replaced by it."""

    _abbr_ = "mechanism"

    def __new__(  # type: ignore[misc]
        cls,
        in_channels: int,
        out_channels: int | None = None,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
        dilation: int = 1,
        bias: bool = False,
        *,
        word: str,
        place: str = Place.AFTER.name,
        heads: int = 8,
        kv_stride: int = 1,
    ) -> nn.Module:
        (part,) = Word.parse(word).parts
        convolution = None
        if Place[place] is Place.INSTEAD:
            convolution = Convolution(
                in_channels=in_channels,
                out_channels=in_channels if out_channels is None else out_channels,
                kernel_size=kernel_size,
                stride=stride,
                padding=padding,
                dilation=dilation,
                bias=bias,
            )
        site = MapSite(
            places=(Place[place],),
            channels=in_channels,
            heads=heads,
            kv_stride=kv_stride,
            convolution=convolution,
        )
        return build(part, site)


def block_config(part: Mechanism, place: Place, heads: int, kv_stride: int) -> dict[str, Any]:
    """Return the config of a mechanism's block, to which a backbone adds the channels."""
    return {
        "type": _type(part.called()),
        "word": str(Word((part,))),
        "place": place.name,
        "heads": heads,
        "kv_stride": kv_stride,
    }


def _type(called: str) -> str:
    """Return the name of the type whose modules are `called` so within a layer."""
    name = f"Mechanism_{called}"
    if name not in MODELS:
        MODELS.register_module(name, module=type(name, (_Block,), {"_abbr_": called}))
    return name


# A config file may name such types in a process that has not made them yet. A broken mechanism
# raises its error where its word is used.
for known in names():
    with contextlib.suppress(BrokenMechanism):
        _type(mechanism_class(known).called())
