"""What defines a control besides the mechanism. Imports no framework."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from plugins.openmmlab.recipe import Training

__all__ = ["Recipe"]


class Recipe(Training):
    """One kind of scene, and a network that sees three cells at once unless it attends.

    It is this project's own: no paper has it.
    """

    always: ClassVar[frozenset[str]] = frozenset({"data", "scene"})

    data: str = Field("control-scenes", description="prepared data set")
    scene: Literal["twin", "pointer", "salient", "offset", "ally"] = Field(
        "twin", description="kind of scene, which decides what an answer needs"
    )
    pretrained: None = None
    channels_last: Literal[False] = False
    compile: Literal[False] = False
    channels: PositiveInt = Field(64, description="channels of the map that attends")
    heads: PositiveInt = Field(4, description="heads of the attention")
    kv_stride: PositiveInt = Field(1, description="every how many cells a key is taken")
    stem_steps: int = Field(
        600, ge=2, description="steps in which the stem learns to name what is in each cell"
    )
    epochs: PositiveInt = Field(10, description="passes over the scenes")
    evaluation_interval: PositiveInt | None = Field(
        None, description="epochs between two evaluations, with null after the last epoch alone"
    )
    batch_size: PositiveInt = Field(48, description="scenes a step")
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="for the stem, AdamW anyway")
    learning_rate: PositiveFloat = Field(3e-3, description="the highest, after the first epoch")
    weight_decay: float = Field(1e-4, ge=0)

    @model_validator(mode="after")
    def _heads_fit(self) -> Recipe:
        if self.channels % self.heads or self.channels % 4:
            raise ValueError(
                f"channels ({self.channels}) must be divisible by heads ({self.heads}) and by 4"
            )
        return self
