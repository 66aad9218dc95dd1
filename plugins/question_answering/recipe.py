"""What defines a training on questions besides the mechanism. Imports no framework."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from plugins.openmmlab.backbone import expansion
from plugins.openmmlab.recipe import Training

__all__ = ["Recipe"]

COORDINATES = 2

CORNERS = 4

OF_RESNET = ("depth", "stem", "pretrained")
"""Fields that only a ResNet has."""

OF_ANSWERS = ("pooling", "all_cells_epochs", "answer_layers", "answer_channels", "dropout",
              "least", "loss")  # fmt: skip
"""Fields that are for one goal alone."""

OF_BOXES = ("boxes", "feature_channels")
"""Fields that are for boxes alone, which goal ground and network features have."""


class Recipe(Training):
    """Questions about images, answered from their words and the cells of a feature map.

    It is scaled to digit scenes and a laptop. In brackets stand the values of Yang et al. 2016,
    Stacked Attention Networks (arXiv 1511.02274), where they have one.
    """

    data: str = Field("digit-scenes", description="prepared data set")
    goal: Literal["answer", "ground"] = Field(
        "answer",
        description="answer questions; or ground phrases: find the box that each names, by what the"
        " mechanism's softmax would be of. What is said of questions then is about sentences",
    )
    network: Literal["convolutions", "resnet", "question_only", "features"] = Field(
        "convolutions",
        description="what makes cells of an image: two 3x3 convolutions a stage, or a ResNet;"
        " question_only sees no image and is the floor; features are those of boxes that the data"
        " set has, which are the cells then",
    )
    boxes: PositiveInt = Field(
        20,
        description="for goal ground: boxes of an image to choose from, half of them near objects;"
        " with network features, for either goal, the first so many that the data set has; cost is"
        " counted with so many",
    )
    feature_channels: PositiveInt = Field(
        2048, description="for network features: how many a box has in the data set"
    )
    depth: Literal[14, 18, 26, 34, 50, 101] = Field(18, description="layers of the ResNet")
    stem: Literal["imagenet", "medium", "small"] = Field(
        "medium",
        description="first layers of the ResNet: a 7x7 convolution and a pooling, each of stride 2;"
        " a 3x3 convolution of stride 2 (medium) or 1 (small) without a pooling",
    )
    stages: int = Field(3, ge=1, le=4, description="stages; positions after the last are the cells")
    base_channels: PositiveInt = Field(16, description="channels of the first stage")
    pretrained: str | None = Field(None, description="checkpoint of the ResNet")
    image_size: tuple[PositiveInt, PositiveInt] = Field(
        (96, 96), description="height and width to which images are scaled [448, 448]"
    )
    coordinates: bool = Field(
        True, description="tell each cell its column and row, each box its corners [false]"
    )
    visual_epochs: NonNegativeInt = Field(
        4,
        description="of the epochs, the first so many teach the visual network alone, by the boxes"
        " of the training scenes, to name what is in each cell [0]",
    )
    frozen_visual: bool = Field(
        True, description="keep the visual network as it is while questions are learnt [true]"
    )
    word_channels: PositiveInt = Field(64, description="features of a word [500]")
    encoder: Literal["gru", "lstm"] = Field("gru", description="what reads the words [lstm]")
    channels: PositiveInt = Field(
        64,
        description="features of a state of the encoder and of what is made of both sets: the"
        " question is added to cells, so there is one width [1024]",
    )
    question_length: PositiveInt = Field(
        14, description="words that are read, others are cut off; cost is counted with so many"
    )
    heads: PositiveInt = Field(4, description="heads of attention that has several")
    kv_stride: PositiveInt = Field(1, description="every how many cells a key is taken, in stages")
    pooling: Literal["mean", "sum"] = Field(
        "mean", description="of the cells, where no mechanism pools them"
    )
    all_cells_epochs: NonNegativeInt = Field(
        0,
        description="epochs on questions in which hard attention keeps all cells while it learns,"
        " before it learns with those that it selects",
    )
    answer_layers: NonNegativeInt = Field(
        1, description="hidden layers between what is made of both sets and the answers [0]"
    )
    answer_channels: PositiveInt | None = Field(
        None, description="features of these layers, by default channels"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="before each layer of the answers [0.5]")
    least: PositiveInt = Field(
        1, description="training questions that an answer must be the best one of, to be known"
    )
    evaluation_split: Literal["val", "test"] = Field(
        "val",
        description="what is evaluated; nothing is chosen by it, the last epoch counts",
    )
    loss: Literal["cross_entropy", "soft_scores"] = Field(
        "cross_entropy",
        description="of the one best answer; or binary for each answer, whose target is how right"
        " it is by the metric, for questions that several people answered [cross_entropy]",
    )
    epochs: PositiveInt = Field(12, description="passes over the questions, visual ones included")
    batch_size: PositiveInt = Field(
        120, description="questions a step; those about an image follow each other [100]"
    )
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="[sgd with momentum 0.9]")
    learning_rate: PositiveFloat = Field(
        4e-3,
        description="the highest, which is reached within three tenths of the visual epochs and"
        " then again of the others (one cycle each, Smith & Topin 2019, arXiv 1708.07120) [0.1]",
    )
    weight_decay: float = Field(1e-4, ge=0)
    clip: PositiveFloat | None = Field(None, description="longest gradient [10]")

    @property
    def sees_images(self) -> bool:
        """Whether images are read, and not features of boxes or nothing."""
        return self.network in ("convolutions", "resnet")

    @property
    def takes_features(self) -> bool:
        """Whether the cells are boxes, whose features the data set has."""
        return self.network == "features"

    @property
    def stride(self) -> int:
        """Pixels between two positions of the first stage, on each axis."""
        if self.network == "convolutions":
            return 2
        return {"imagenet": 4, "medium": 2, "small": 1}[self.stem]

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of the cells."""
        pixels = self.stride * 2 ** (self.stages - 1)
        return -(-self.image_size[0] // pixels), -(-self.image_size[1] // pixels)

    @property
    def map_channels(self) -> int:
        """Channels of the map whose positions are the cells."""
        if self.takes_features:
            return self.feature_channels
        width = self.base_channels * 2 ** (self.stages - 1)
        return width * (expansion(self.depth) if self.network == "resnet" else 1)

    @property
    def cell_channels(self) -> int:
        """Features of a cell or box, its column and row or its corners included."""
        of_cells = self.goal == "answer" and not self.takes_features
        return self.map_channels + (COORDINATES if of_cells else CORNERS) * self.coordinates

    @property
    def step(self) -> str:
        """What one step of the optimizer learns from, in words."""
        items = "questions" if self.goal == "answer" else "sentences"
        return super().step.replace("images", items)

    @model_validator(mode="after")
    def _suits_the_goal(self) -> Recipe:
        fields = type(self).model_fields
        foreign: tuple[str, ...] = OF_ANSWERS
        other = "answer"
        if self.goal == "answer":
            foreign, other = () if self.takes_features else OF_BOXES, "ground"
        for field in foreign:
            if getattr(self, field) != fields[field].default:
                also = "; or for network features" if field in OF_BOXES else ""
                raise ValueError(f"{field} is for goal {other}, and the goal is {self.goal}{also}")
        if self.goal == "ground" and self.network == "question_only":
            raise ValueError("network question_only sees no image, so goal ground finds no box")
        return self

    @model_validator(mode="after")
    def _suits_the_network(self) -> Recipe:
        fields = type(self).model_fields
        if self.network != "resnet":
            for field in OF_RESNET:
                if getattr(self, field) != fields[field].default:
                    raise ValueError(f"{field} is for network resnet")
        if not self.sees_images:
            if self.visual_epochs:
                raise ValueError(
                    f"network {self.network} has nothing to learn from boxes in"
                    f" {self.visual_epochs} epochs: set visual_epochs to 0, and epochs to what is"
                    " left"
                )
        elif self.frozen_visual and not self.visual_epochs and self.pretrained is None:
            raise ValueError(
                "with visual_epochs 0 and no pretrained weights nothing would be learnt of images:"
                " set frozen_visual to false"
            )
        if self.channels % self.heads:
            raise ValueError(
                f"channels ({self.channels}) must be divisible by heads ({self.heads})"
            )
        return self

    @model_validator(mode="after")
    def _epochs_are_enough(self) -> Recipe:
        asked = self.epochs - self.visual_epochs
        if asked < 1:
            raise ValueError(
                f"visual_epochs ({self.visual_epochs}) must be fewer than epochs ({self.epochs})"
            )
        if self.all_cells_epochs >= asked and self.all_cells_epochs:
            raise ValueError(
                f"all_cells_epochs ({self.all_cells_epochs}) must be fewer than the {asked} epochs"
                " on questions: hard attention would never select"
            )
        return self

    def check_items(self, items: int) -> None:
        """Refuse fewer questions than a batch has: an epoch leaves out its incomplete last one."""
        if items < self.batch_size:
            what = "questions" if self.goal == "answer" else "sentences"
            raise ValueError(
                f"{items} training {what} make no batch of batch_size {self.batch_size};"
                f" batch_size {items} or less would do"
            )
