"""The ResNets of tasks that need no framework's network beside a backbone."""

from __future__ import annotations

from typing import Any

from mmdet.models.backbones.resnet import Bottleneck, ResNet
from mmengine.registry import MODELS
from torch import nn

from plugins.openmmlab.backbone import small_depths

__all__ = ["RGB", "STEMS", "ImageNetResNet", "SmallStemResNet"]

RGB: dict[str, Any] = {
    # Of ImageNet's images, as in all of OpenMMLab's configs.
    "mean": [123.675, 116.28, 103.53],
    "std": [58.395, 57.12, 57.375],
    "bgr_to_rgb": True,
}
"""How images are normalised."""

STEMS: dict[str, dict[str, Any]] = {
    "imagenet": {"type": "ImageNetResNet"},
    "medium": {"type": "SmallStemResNet", "stem_stride": 2},
    "small": {"type": "SmallStemResNet", "stem_stride": 1},
}
"""A recipe's word for the first layers, and the config of the ResNet that has them."""


@MODELS.register_module()
class ImageNetResNet(ResNet):
    """MMDetection's ResNet, which also comes with 14 and 26 layers, and learns its statistics."""

    arch_settings = small_depths(ResNet, Bottleneck)

    def __init__(self, **options: Any) -> None:
        super().__init__(norm_eval=False, **options)


@MODELS.register_module()
class SmallStemResNet(ImageNetResNet):
    """The same for small images: it begins with a 3x3 convolution and no pooling.

    Parameters
    ----------
    stem_stride: int
        Of that convolution.
    **options
        Those of MMDetection's ``ResNet``.
    """

    def __init__(self, stem_stride: int, **options: Any) -> None:
        self.stem_stride = stem_stride
        super().__init__(**options)

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        stride = self.stem_stride
        self.conv1 = nn.Conv2d(in_channels, stem_channels, 3, stride, padding=1, bias=False)
        self.maxpool = nn.Identity()
