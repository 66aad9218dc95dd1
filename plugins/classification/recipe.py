"""What defines a classification training besides the mechanism. Imports no framework."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from plugins.openmmlab.recipe import Training

__all__ = ["Recipe"]

Network = Literal["resnet", "residual_attention", "dynamic_capacity", "recurrent_attention"]

DEPTHS = {
    "resnet": (14, 18, 26, 34, 50, 101),
    "residual_attention": (56, 92),
    "recurrent_attention": (11, 19),
}
"""Layers that a network comes with, where that can be chosen."""

OWNERS = {
    "depth": tuple(DEPTHS),
    "stem": tuple(DEPTHS),
    "learning": ("residual_attention",),
    "patches": ("dynamic_capacity",),
    "scales": ("recurrent_attention",),
    **dict.fromkeys(("pretrained", "dropout", "label_smoothing", "compile"), ("resnet",)),
}
"""Fields that not all networks have, and those that do."""


class Recipe(Training):
    """A classifier and its training, by default a ResNet, scaled to data for a laptop.

    In brackets stand the values for ImageNet and ResNet-50 of He et al. 2016 (arXiv 1512.03385) and
    Goyal et al. 2017 (arXiv 1706.02677).
    """

    data: str = Field("cluttered-digits", description="prepared data set, a folder a class")
    network: Network = Field(
        "resnet",
        description="what classifies: a ResNet with pooling and a linear layer, or a network that"
        " is attention throughout and has no sites [resnet]",
    )
    depth: Literal[11, 14, 18, 19, 26, 34, 50, 56, 92, 101] = Field(
        18,
        description="layers of the ResNet; 14 and 26 have one and two bottlenecks a stage, 18 and"
        " 34 have BasicBlocks. residual_attention has 56 or 92, each scale of recurrent_attention"
        " the convolutions of VGG 11 or 19 [50]",
    )
    stem: Literal["imagenet", "medium", "small"] = Field(
        "medium",
        description="first layers: a 7x7 convolution and a pooling, each of stride 2; a 3x3"
        " convolution of stride 2 (medium) or 1 (small) without a pooling, for images that are not"
        " large enough. recurrent_attention leaves out VGG's last stage (medium), or its last two"
        " (small) [imagenet]",
    )
    base_channels: PositiveInt = Field(
        16,
        description="channels of the first stage; inside the first units of residual_attention;"
        " dynamic_capacity has the paper's widths at 16 [64]",
    )
    learning: Literal["residual", "naive", "none"] = Field(
        "residual",
        description="residual_attention: (1 + M) T, M T or T of mask M and trunk T",
    )
    patches: NonNegativeInt = Field(
        8, description="dynamic_capacity: patches that the better layers see in each image"
    )
    scales: int = Field(3, ge=2, description="recurrent_attention: how often an image is looked at")
    pretrained: str | None = Field(None, description="checkpoint of the backbone [null]")
    heads: PositiveInt = Field(8, description="heads of the attention")
    kv_stride: PositiveInt = Field(1, description="every how many pixels a key is taken")
    dropout: float = Field(0.0, ge=0, lt=1, description="before the linear layer [0]")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of the target that all classes have in common [0]"
    )
    crop: tuple[PositiveInt, PositiveInt] = Field(
        (56, 56), description="height and width that the network sees [224, 224]"
    )
    area_range: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.6, 1.0),
        description="share of an image's area that is cut out at random in training, in a shape of"
        " 3:4 to 4:3, and scaled to crop; 1 to 1 shows what an evaluation shows [0.08, 1]",
    )
    flip: float = Field(0.0, ge=0, le=1, description="share of images mirrored [0.5]")
    evaluation_resize: PositiveInt | None = Field(
        None,
        description="pixels of the shorter side, of whose middle an evaluation sees crop; None for"
        " the longer side of crop [256]",
    )
    epochs: PositiveInt = Field(8, description="passes over the training set [90]")
    batch_size: PositiveInt = Field(16, description="images a step [256]")
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="[sgd with momentum 0.9]")
    learning_rate: PositiveFloat = Field(2e-3, description="after warm-up [0.1]")
    weight_decay: float = Field(1e-4, ge=0, description="[1e-4]")
    warmup_epochs: NonNegativeInt = Field(
        0, description="epochs in which the rate rises from a hundredth, in a line [5]"
    )
    decay_epochs: tuple[PositiveInt, ...] | None = Field(
        None,
        description="epochs after which the rate falls to a tenth; None for a cosine that falls to"
        " 0 (Loshchilov & Hutter 2017, arXiv 1608.03983), as later ImageNet recipes have it"
        " (He et al. 2019, arXiv 1812.01187) [30, 60, 80]",
    )

    @property
    def stride(self) -> int:
        """Pixels between two positions of the first stage, on each axis."""
        return {"imagenet": 4, "medium": 2, "small": 1}[self.stem]

    @property
    def resize(self) -> int:
        """Pixels of the shorter side of an image that is evaluated."""
        return max(self.crop) if self.evaluation_resize is None else self.evaluation_resize

    @model_validator(mode="after")
    def _suits_the_network(self) -> Recipe:
        for field, networks in OWNERS.items():
            is_set = getattr(self, field) != type(self).model_fields[field].default
            if is_set and self.network not in networks:
                raise ValueError(f"{field} is for network {', '.join(networks)}")
        depths = DEPTHS.get(self.network, (self.depth,))
        if self.depth not in depths:
            fitting = ", ".join(map(str, depths))
            raise ValueError(f"network {self.network} has depth {fitting}, not {self.depth}")
        if self.network == "recurrent_attention" and min(self.crop) < 16 * self.stride:
            raise ValueError(
                f"of crop {list(self.crop)} less than 2 x 2 positions are left to propose a closer"
                f" look from; {16 * self.stride} pixels or more would do, or another stem"
            )
        if self.network == "dynamic_capacity":
            # Of 11 pixels, 4 apart, of which the top layers take 4 x 4.
            rows, columns = ((side - 11) // 4 + 1 for side in self.crop)
            if min(rows, columns) < 4 or rows * columns < self.patches:
                raise ValueError(
                    f"crop {list(self.crop)} has {max(rows, 0)} x {max(columns, 0)} cells; 4 x 4 or"
                    f" more are needed, and as many as patches ({self.patches}): raise crop"
                )
        return self

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.network == "resnet" and self.base_channels < self.heads:
            raise ValueError(
                f"heads ({self.heads}) must not exceed base_channels ({self.base_channels})"
            )
        if self.base_channels % 4:
            raise ValueError(f"base_channels ({self.base_channels}) must be divisible by 4")
        low, high = self.area_range
        if not low <= high <= 1:
            raise ValueError(f"area_range [{low:g}, {high:g}] must rise, to 1 at most")
        if self.resize < max(self.crop):
            raise ValueError(
                f"evaluation_resize ({self.resize}) leaves less than crop {list(self.crop)} of an"
                f" image; {max(self.crop)} or more would do"
            )
        if self.warmup_epochs >= self.epochs and self.warmup_epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs}) must be fewer than epochs ({self.epochs})"
            )
        if self.training_images is not None:
            self.check_items(self.training_images)
        by_stages = self.network in ("resnet", "residual_attention")
        alone = self.batch_size == self.accumulate
        if by_stages and alone and max(self.crop) <= 8 * self.stride:
            raise ValueError(
                f"of crop {list(self.crop)} one position is left in conv5, and one image at a time"
                " is no batch to normalise by: raise crop or batch_size"
            )
        return self

    def check_items(self, items: int) -> None:
        """Refuse fewer images than a batch has: an epoch leaves out its incomplete last batch."""
        if items < self.batch_size:
            raise ValueError(
                f"{items} training images make no batch of batch_size {self.batch_size}; batch_size"
                f" {items} or less would do"
            )
