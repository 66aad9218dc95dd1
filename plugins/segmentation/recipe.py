"""What defines a segmentation training besides the mechanism. Imports no framework."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from plugins.openmmlab.recipe import Training

__all__ = ["Recipe"]


class Recipe(Training):
    """A dilated ResNet with an FCN head, scaled to data that trains on a laptop.

    The paper's values, as far as they are known, are in brackets.
    """

    always: ClassVar[frozenset[str]] = frozenset(
        {
            *("data", "depth", "base_channels", "pretrained", "heads", "kv_stride"),
            *("head_channels", "auxiliary_loss", "dropout", "crop", "scale_range", "flip"),
            *("epochs", "batch_size", "optimizer", "learning_rate", "weight_decay"),
            "decay_power",
        }
    )

    data: str = Field("landcover", description="prepared data set, Cityscapes layout [cityscapes]")
    depth: Literal[14, 18, 26, 34, 50, 101] = Field(
        14,
        description="layers of the ResNet; 14 and 26 have one and two bottlenecks a stage, 18 and"
        " 34 have BasicBlocks [50]",
    )
    base_channels: PositiveInt = Field(16, description="channels of the first stage [64]")
    pretrained: str | None = Field(
        None, description="checkpoint of the backbone [open-mmlab://resnet50_v1c]"
    )
    heads: PositiveInt = Field(8, description="heads of the attention [8]")
    kv_stride: PositiveInt = Field(2, description="every how many pixels a key is taken [2]")
    head_channels: PositiveInt = Field(64, description="channels of the head's convolutions [512]")
    auxiliary_loss: float = Field(
        0.4, ge=0, description="weight of a second head on conv4, 0 for none [0.4]"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="before the classifier [0.1]")
    crop: tuple[PositiveInt, PositiveInt] = Field(
        (128, 128), description="height and width of a training crop [769, 769]"
    )
    scale_range: tuple[PositiveFloat, PositiveFloat] = Field(
        (1.0, 1.0), description="random rescaling before the crop [0.7, 2.0]"
    )
    image_scale: tuple[PositiveInt, PositiveInt] | None = Field(
        None,
        description="width and height that a rescaling by 1 leads to, None for a crop's"
        " [2048, 1024]",
    )
    flip: float = Field(0.5, ge=0, le=1, description="share of images mirrored [0.5]")
    align_corners: bool = Field(
        False,
        description="logits are enlarged so that the centres of corner pixels meet [true]",
    )
    evaluation_stride: tuple[PositiveInt, PositiveInt] | None = Field(
        None,
        description="height and width by which windows of a crop's size move over a validation"
        " image, None to see it whole [unknown]",
    )
    epochs: PositiveInt = Field(20, description="passes over the training set [162]")
    batch_size: PositiveInt = Field(8, description="images a step [8]")
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="[sgd with momentum 0.9]")
    learning_rate: PositiveFloat = Field(1e-3, description="at the start [0.005]")
    weight_decay: float = Field(1e-4, ge=0, description="[1e-4]")
    decay_power: PositiveFloat = Field(
        0.9, description="of the polynomial in which the rate falls to 0 [0.9]"
    )

    @model_validator(mode="after")
    def _heads_fit(self) -> Recipe:
        if self.base_channels < self.heads:
            raise ValueError(
                f"heads ({self.heads}) must not exceed base_channels ({self.base_channels})"
            )
        if self.base_channels % 4 or self.head_channels % 4:
            raise ValueError("base_channels and head_channels must be divisible by 4")
        if self.training_images is not None:
            self.check_items(self.training_images)
        if self.scale_range[0] > self.scale_range[1]:
            raise ValueError(f"scale_range {self.scale_range} falls")
        return self

    def check_items(self, items: int) -> None:
        """Refuse fewer images than a batch has: an epoch leaves out its incomplete last batch."""
        if items < self.batch_size:
            raise ValueError(
                f"{items} training images make no batch of batch_size {self.batch_size}; batch_size"
                f" {items} or less would do"
            )
