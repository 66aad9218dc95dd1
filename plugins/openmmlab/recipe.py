"""What the recipes of OpenMMLab's tasks share: how many images, in which parts, how exactly."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from plugins.contracts.recipe import Recipe

__all__ = ["Training"]


class Training(Recipe):
    """Fields of all these tasks; a recipe adds those without a default, and its own."""

    pretrained: str | None
    batch_size: PositiveInt
    learning_rate: float
    epochs: PositiveInt

    training_images: PositiveInt | None = Field(
        None, description="learn from the first so many images only"
    )
    evaluation_images: PositiveInt | None = Field(
        None, description="evaluate on the first so many images only"
    )
    evaluation_interval: PositiveInt | None = Field(
        1,
        description="epochs between two evaluations; there is one after the last epoch anyway, and"
        " with null that one alone",
    )
    accumulate: PositiveInt = Field(
        1,
        description="parts of a batch whose gradients are summed up before a step: the same batch"
        " in less memory; batch normalisation that learns sees a part at a time",
    )
    base_batch_size: PositiveInt | None = Field(
        None,
        description="batch size that learning_rate is meant for; with another batch_size the rate"
        " is scaled in proportion (Goyal et al. 2017, arXiv 1706.02677), as by MMEngine's"
        " auto_scale_lr",
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="of products in training, by autocast; float16 scales the loss and needs a GPU",
    )
    channels_last: bool = Field(
        False,
        description="keep a pixel's channels together in memory, in training; the same up to"
        " rounding",
    )
    compile: bool = Field(
        False,
        description="let torch.compile translate the backbone, mechanisms included, in training;"
        " the same up to rounding",
    )

    @model_validator(mode="after")
    def _parts_are_equal(self) -> Self:
        self.share(1)
        return self

    def share(self, processes: int) -> int:
        """Return how many of a batch's images each process of a run gets.

        Raises
        ------
        ValueError
            If the processes, or their parts, would get unequal numbers: the mean of their mean
            losses would then not be that of the batch.
        """
        batch, parts = self.batch_size, self.accumulate
        if batch % parts:
            raise ValueError(f"accumulate ({parts}) must divide batch_size ({batch})")
        if batch % (processes * parts):
            fitting = [str(n) for n in range(1, batch // parts + 1) if batch % (n * parts) == 0]
            each = f" x {parts} parts (accumulate)" if parts > 1 else ""
            raise ValueError(
                f"batch_size {batch} is not divisible by {processes} processes{each}:"
                f" {', '.join(fitting)} processes would do"
            )
        return batch // processes

    @property
    def rate(self) -> float:
        """The learning rate for this batch size."""
        if self.base_batch_size is None:
            return self.learning_rate
        return self.learning_rate * self.batch_size / self.base_batch_size

    @property
    def train_cfg(self) -> dict[str, Any]:
        """Epochs and evaluations, as MMEngine's runner takes them; it makes a last one anyway."""
        return {
            "by_epoch": True,
            "max_epochs": self.epochs,
            "val_interval": self.evaluation_interval or self.epochs,
        }

    @property
    def step(self) -> str:
        """What one step of the optimizer learns from, in words."""
        images = f"{self.batch_size} images"
        if self.accumulate > 1:
            images += f", {self.accumulate} parts one after the other"
        rate = f"learning rate {self.rate:g}"
        if self.base_batch_size is not None:
            rate += f" = {self.learning_rate:g} x {self.batch_size} / {self.base_batch_size}"
        return f"a step: {images}; {rate}"

    def steps(self, images: int | None, whole: bool) -> int | None:
        """Return the steps of a training on so many images, None if their number is not known.

        Parameters
        ----------
        images: int, optional
            Of the training set.
        whole: bool
            Whether an epoch's incomplete last batch is left out.
        """
        known = [n for n in (images, self.training_images) if n is not None]
        if images is None:
            return None
        an_epoch = min(known) // self.batch_size if whole else -(-min(known) // self.batch_size)
        return self.epochs * an_epoch

    def toy(self, **own: Any) -> Self:
        """Return the same training at toy width: two steps on embedded data, and an evaluation.

        `own` are values of the task.
        """
        common = {
            "data": type(self).model_fields["data"].default,
            "base_channels": 16,
            "pretrained": None,
            "heads": 8,
            "epochs": 1,
            "batch_size": 4,
            "base_batch_size": None,
            "accumulate": min(self.accumulate, 2),
            "training_images": 8,
            "evaluation_images": 4,
            "evaluation_interval": 1,
        }
        return self.model_validate(self.model_dump() | common | own)
