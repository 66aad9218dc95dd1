"""What defines a detection training besides the mechanism. Imports no framework."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from plugins.openmmlab.recipe import Training

__all__ = ["Recipe"]


class Recipe(Training):
    """Faster R-CNN, scaled to data that trains on a laptop; the paper's values are in brackets."""

    always: ClassVar[frozenset[str]] = frozenset(
        {
            *("data", "depth", "base_channels", "pretrained", "frozen_stages", "heads"),
            *("kv_stride", "fpn_channels", "head_channels", "anchor_scale", "proposals", "rois"),
            *("image_scale", "flip", "epochs", "batch_size", "optimizer", "learning_rate"),
            *("weight_decay", "warmup_iterations", "decay_epochs", "gradient_clip"),
        }
    )

    data: str = Field("trees", description="prepared data set in COCO's format [coco]")
    depth: Literal[14, 18, 26, 34, 50, 101] = Field(
        14,
        description="layers of the ResNet; 14 and 26 have one and two bottlenecks a stage, 18 and"
        " 34 have BasicBlocks [50]",
    )
    base_channels: PositiveInt = Field(16, description="channels of the first stage [64]")
    pretrained: str | None = Field(
        None, description="checkpoint of the backbone [torchvision://resnet50]"
    )
    frozen_stages: int = Field(-1, ge=-1, le=4, description="stages that are not trained [1]")
    heads: PositiveInt = Field(8, description="heads of the attention [8]")
    kv_stride: PositiveInt = Field(2, description="every how many pixels a key is taken [2]")
    deformable_stages: tuple[Literal["conv2", "conv3", "conv4", "conv5"], ...] | None = Field(
        None,
        min_length=1,
        description="where deformable convolution stands that a mechanism brings; by default, and"
        " in the paper, at the sites; in MMDetection's configs [conv3, conv4, conv5]",
    )
    fpn_channels: PositiveInt = Field(32, description="channels of the feature pyramid [256]")
    head_channels: PositiveInt = Field(128, description="width of the box head's layers [1024]")
    anchor_scale: PositiveFloat = Field(8, description="anchor side over stride [8]")
    proposals: PositiveInt = Field(200, description="proposals kept, training and test [1000]")
    rois: PositiveInt = Field(
        64, description="regions an image that the box head learns from [512]"
    )
    image_scale: tuple[PositiveInt, PositiveInt] = Field(
        (256, 256), description="largest width and height after resizing [1333, 800]"
    )
    flip: float = Field(0.5, ge=0, le=1, description="share of images mirrored [0.5]")
    epochs: PositiveInt = Field(12, description="passes over the training set [12]")
    batch_size: PositiveInt = Field(8, description="images a step [16]")
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="[sgd with momentum 0.9]")
    learning_rate: PositiveFloat = Field(1e-3, description="after warm-up [0.02]")
    weight_decay: float = Field(1e-4, ge=0, description="[1e-4]")
    warmup_iterations: int = Field(50, ge=0, description="steps of linear warm-up [500]")
    warmup_start: PositiveFloat = Field(
        1 / 3,
        le=1,
        description="share of the learning rate that warm-up starts from [1/3]",
    )
    decay_epochs: tuple[PositiveInt, ...] = Field(
        (8, 11), description="epochs after which the learning rate falls to a tenth [8, 11]"
    )
    gradient_clip: PositiveFloat | None = Field(35, description="largest gradient norm [35]")

    @field_validator("deformable_stages")
    @classmethod
    def _each_stage_once(cls, stages: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if stages is None:
            return None
        if len(set(stages)) < len(stages):
            raise ValueError(f"deformable_stages names a stage twice: {', '.join(stages)}")
        return tuple(sorted(stages))  # one order, so that two ways to write it are one recipe

    @model_validator(mode="after")
    def _heads_fit(self) -> Recipe:
        if self.base_channels < self.heads:
            raise ValueError(
                f"heads ({self.heads}) must not exceed base_channels ({self.base_channels})"
            )
        if self.base_channels % 4:
            raise ValueError(f"base_channels ({self.base_channels}) must be divisible by 4")
        return self
