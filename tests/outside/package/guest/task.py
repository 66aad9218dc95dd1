"""Which digit is it? Rows of its left half ask the columns of its right half."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from plugins.attention.core.site import PairSite, Place, SequenceSite, Site
from plugins.contracts.job import Job
from plugins.contracts.metric import Metric
from plugins.contracts.recipe import Recipe
from plugins.contracts.task import Evaluates, Looks, Smokes, Task

ROWS, COLUMNS = 8, 4
"""Of a half: it is 8 pixels high and 4 wide."""


class HalvesRecipe(Recipe):
    """A layer that sees rows, one that sees both halves, and a classifier."""

    data: str = "halved-digits"
    channels: int = Field(16, ge=1)
    key_channels: int = Field(12, ge=1)
    heads: int = Field(2, ge=1)
    epochs: int = Field(6, ge=1)
    images: int | None = Field(None, ge=1)


class Halves(Task, Smokes, Evaluates, Looks):
    """The site `rows` is within the left half, `halves` between the two."""

    name = "halves"
    Recipe = HalvesRecipe
    sites = ("rows", "halves")
    default_sites = ("halves",)
    metrics = (Metric("error", "share of digits that are wrong", 0.01, higher_is_better=False),)
    imports = ("guest.train",)
    mechanism_fields = ("heads",)

    def site(self, name: str, recipe: Any) -> Site:
        known: dict[str, Any] = {"channels": recipe.channels, "heads": recipe.heads}
        if name == "rows":
            places = (Place.ATTENTION, Place.BEFORE)
            return SequenceSite(places=places, queries=ROWS, keys=ROWS, **known)
        if name == "halves":
            return PairSite(key_channels=recipe.key_channels, queries=ROWS, keys=COLUMNS, **known)
        raise ValueError(f"no site {name!r}")

    def smoke(self, recipe: Any) -> Any:
        return recipe.model_copy(update={"epochs": 1, "images": 64})

    def train(self, job: Job) -> None:
        from guest.train import train

        train(job)

    def cost(self, job: Job, outputs: int | None = None) -> Any:
        from guest.train import cost

        return cost(job)

    def evaluate(self, job: Job, checkpoint: Path) -> dict[str, float]:
        from guest.train import evaluate

        return evaluate(job, checkpoint)

    def look(self, job: Job, source: str, query: tuple[int, int] | None) -> dict[str, Any]:
        from guest.train import look

        return look(job, source)
