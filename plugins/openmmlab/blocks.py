"""The mechanisms as layers that MMEngine's registry can build.

OpenMMLab's backbones build a plugin as ``cls(in_channels=..., **cfg)`` and name it in the model by
the class's ``_abbr_``. The name of generalized attention is that of mmcv's own module, so that
checkpoints trained with either load into the other.
"""

from __future__ import annotations

from typing import Any

from mmengine.registry import MODELS

from plugins.attention.maps import deformable, dynamic
from plugins.attention.maps import generalized as generalized2d
from plugins.openmmlab import insertion  # noqa: F401  registers WithBlocks

__all__ = ["DeformableConv2d", "DynamicConv2d", "GeneralizedAttention2d"]


@MODELS.register_module()
class GeneralizedAttention2d(generalized2d.GeneralizedAttention2d):
    """Generalized attention as a backbone plugin, usually with ``position='after_conv2'``.

    Parameters
    ----------
    in_channels: int
        Given by the backbone.
    **kwargs
        Those of :class:`plugins.attention.maps.generalized.GeneralizedAttention2d`.
    """

    _abbr_ = "gen_attention_block"

    def __init__(self, in_channels: int, **kwargs: Any) -> None:
        super().__init__(in_channels, **kwargs)


@MODELS.register_module()
class DynamicConv2d(dynamic.DynamicConv2d):
    """Dynamic convolution as a backbone plugin, framed like generalized attention.

    Parameters
    ----------
    in_channels: int
        Given by the backbone.
    **kwargs
        Those of :class:`plugins.attention.maps.dynamic.DynamicConv2d`.
    """

    _abbr_ = "dynamic_conv_block"

    def __init__(self, in_channels: int, **kwargs: Any) -> None:
        super().__init__(in_channels, **kwargs)


# As the backbone's `dcn`, in place of the 3x3 convolution: dcn=dict(type="DeformableConv2d").
DeformableConv2d = MODELS.register_module(module=deformable.DeformableConv2d)
