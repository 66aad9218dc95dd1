"""The models: a ResNet with pooling and a linear layer, or a network that classifies by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.nn import functional as F

from plugins.classification.networks.dynamic_capacity import DynamicCapacityNetwork
from plugins.classification.networks.recurrent_attention import RecurrentAttentionNetwork
from plugins.classification.networks.residual_attention import ResidualAttentionNetwork

__all__ = ["Classifier", "PooledClassifier"]

Samples = Sequence[BaseDataElement]

for _network in (DynamicCapacityNetwork, RecurrentAttentionNetwork, ResidualAttentionNetwork):
    # They know nothing of MMEngine.
    MODELS.register_module(module=_network)


@MODELS.register_module()
class Classifier(BaseModel):
    """A network that returns logits and knows its loss.

    Parameters
    ----------
    backbone: dict
        Config of a module with ``forward(images) -> logits``, (N, 3, H, W) to (N, classes), and
        ``loss(images, labels) -> dict`` of losses by names that begin with ``loss``.
    data_preprocessor: dict
        Config of what normalises images.
    """

    def __init__(self, backbone: dict[str, Any], data_preprocessor: dict[str, Any]) -> None:
        super().__init__(data_preprocessor)
        self.backbone = MODELS.build(backbone)

    def forward(
        self, inputs: Tensor, data_samples: Samples | None = None, mode: str = "tensor"
    ) -> Any:
        """Return logits, losses (``loss``), or the samples with their ``logits`` (``predict``)."""
        if mode == "tensor":
            return self.logits(inputs)
        assert data_samples is not None
        if mode == "loss":
            return self.loss(inputs, data_samples)
        assert mode == "predict", mode
        for sample, logits in zip(data_samples, self.logits(inputs), strict=True):
            sample.set_data({"logits": logits})
        return data_samples

    def extract_feat(self, inputs: Tensor) -> Any:
        """Return what the backbone makes of images."""
        return self.backbone(inputs)

    def logits(self, inputs: Tensor) -> Tensor:
        """Return (N, classes)."""
        logits: Tensor = self.backbone(inputs)
        return logits

    def loss(self, inputs: Tensor, data_samples: Samples) -> dict[str, Tensor]:
        """Return the losses by name."""
        losses: dict[str, Tensor] = self.backbone.loss(inputs, labels(data_samples))
        return losses


@MODELS.register_module()
class PooledClassifier(Classifier):
    """A backbone of feature maps, the mean over the positions of the last one, a linear layer.

    Parameters
    ----------
    backbone, data_preprocessor: dict
        Configs.
    channels, classes: int
        Of the last map, and of the linear layer's output.
    dropout: float
        Before the linear layer.
    label_smoothing: float
        Share of the target that is spread over all classes.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        data_preprocessor: dict[str, Any],
        channels: int,
        classes: int,
        dropout: float,
        label_smoothing: float,
    ) -> None:
        super().__init__(backbone, data_preprocessor)
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(channels, classes)
        self.label_smoothing = label_smoothing

    def logits(self, inputs: Tensor) -> Tensor:
        """Return (N, classes)."""
        logits: Tensor = self.linear(self.dropout(self.backbone(inputs)[-1].mean((2, 3))))
        return logits

    def loss(self, inputs: Tensor, data_samples: Samples) -> dict[str, Tensor]:
        """Return the cross-entropy, the mean over the images."""
        logits, smoothing = self.logits(inputs), self.label_smoothing
        loss = F.cross_entropy(logits, labels(data_samples), label_smoothing=smoothing)
        return {"loss_class": loss}


def labels(data_samples: Samples) -> Tensor:
    """Return the labels of samples, (N,)."""
    return torch.stack([sample.label for sample in data_samples])
