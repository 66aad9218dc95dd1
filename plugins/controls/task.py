"""Positive controls: a question about each object that only one term can answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.attention.core.site import MapSite
from plugins.contracts.items import CountsItems
from plugins.contracts.job import Job
from plugins.contracts.metric import Metric
from plugins.contracts.needs import Need, Needs
from plugins.contracts.task import Looks, Smokes, Task
from plugins.controls.recipe import Recipe
from plugins.controls.scenes import need
from plugins.controls.sites import SITE, cells

if TYPE_CHECKING:
    import numpy as np

    from plugins.attention.core.cost import Cost
    from plugins.contracts.items import Arrays

__all__ = ["Controls"]


class Controls(Task, Smokes, CountsItems, Looks, Needs):
    """A network that sees three cells at once, on scenes whose answers are farther away."""

    name = "controls"
    Recipe = Recipe
    sites = (SITE,)
    default_sites = (SITE,)
    metrics = (
        Metric("accuracy", "share of questions answered right", point=0.01, best=1),
        Metric(
            "pointing",
            "share of queries whose highest weight is on the answer",
            point=0.01,
            best=1,
        ),
        Metric("weight", "share of the weights that is on the answer", point=0.01, best=1),
    )
    packages = ("onedl-mmengine",)
    imports = ("mmengine.runner",)
    mechanism_fields = ("heads", "kv_stride")
    asked_by = "scene"

    def site(self, name: str, recipe: Any) -> MapSite:
        """Return the map of the cells."""
        if name != SITE:
            raise ValueError(f"no site {name!r}")
        return cells(recipe.channels, recipe.heads, recipe.kv_stride)

    def need(self, recipe: Any) -> Need:
        """Return what the answers about the recipe's kind of scene need."""
        return need(recipe.scene)

    def smoke(self, recipe: Any) -> Any:
        """Return a training of two steps on a few scenes."""
        small = {"epochs": 1, "stem_steps": 2, "batch_size": 4, "base_batch_size": None}
        few = {"training_images": 8, "evaluation_images": 4, "accumulate": 1}
        return recipe.model_copy(update=small | few)

    def preload(self) -> None:
        """Import what trains."""
        from plugins.controls import train  # noqa: F401

    def train(self, job: Job) -> None:
        """Train and evaluate, by default after the last epoch alone."""
        from plugins.controls.train import train

        train(job)

    def cost(self, job: Job, outputs: int | None = None) -> Cost:
        """Count one scene."""
        from plugins.controls.train import cost

        return cost(job)

    def value_of_items(self, items: Arrays, weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the accuracy of samples of the scenes."""
        import numpy as np

        right, asked = (weights.astype(float) @ items[name] for name in ("right", "asked"))
        return np.divide(right, asked, out=np.full(len(asked), np.nan), where=asked > 0)

    def look(
        self, job: Job, source: str, query: tuple[int, int] | None
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Return what the mechanism weighs for one cell of the image file `source`, a scene."""
        from plugins.controls.train import look

        return look(job, Path(source), query)
