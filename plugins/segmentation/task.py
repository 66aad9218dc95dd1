"""Semantic segmentation: a dilated ResNet with an FCN head. Imports no framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.attention.core.site import MapSite
from plugins.attention.core.word import Word
from plugins.contracts.dataset import Checked
from plugins.contracts.items import CountsItems
from plugins.contracts.job import Job
from plugins.contracts.metric import Metric
from plugins.contracts.probe import Probed
from plugins.contracts.task import ChecksData, Evaluates, Looks, Probes, Smokes, Task
from plugins.contracts.weights import WeightsFile
from plugins.openmmlab.heads.mechanism import Head
from plugins.openmmlab.pretrained import weights_files
from plugins.segmentation.recipe import Recipe
from plugins.segmentation.sites import HEAD, SITES, site

if TYPE_CHECKING:
    import numpy as np

    from plugins.attention.core.cost import Cost
    from plugins.contracts.items import Arrays

__all__ = ["Segmentation"]


class Segmentation(Task, ChecksData, Smokes, Probes, Evaluates, CountsItems, Looks):
    """Segmentation with MMSegmentation; the data sets have the layout of Cityscapes."""

    name = "segmentation"
    Recipe = Recipe
    sites = SITES
    default_sites = ("conv4", "conv5", HEAD)
    metrics = (
        Metric(
            "mIoU",
            "mean intersection over union of the classes",
            point=0.01,
            best=1,
            lacking="no pixel of the validation set has a class",
        ),
        Metric("mAcc", "mean accuracy of the classes", point=0.01, best=1),
        Metric("aAcc", "share of pixels that are right", point=0.01, best=1),
    )
    packages = ("onedl-mmcv", "onedl-mmengine", "onedl-mmsegmentation")
    imports = ("mmcv.ops", "mmseg.datasets", "mmseg.models")
    mechanism_fields = ("heads", "kv_stride")

    def site(self, name: str, recipe: Any) -> MapSite:
        """Return a stage, the head, the image, or a module of the backbone."""
        return site(name, recipe)

    def check(self, word: Word, sites: Sequence[str], recipe: Any) -> None:
        """Refuse what cannot stand there, and numbers of the recipe that do not suit it."""
        super().check(word, sites, recipe)
        for part in word.parts:
            if HEAD in sites and isinstance(part, Head):
                part.check_batch(recipe.batch_size // recipe.accumulate)
        for part in word.parts:
            uneven = "heads" in part.uses and recipe.head_channels % recipe.heads
            if HEAD in sites and uneven and part.place(site(HEAD, recipe)) is not None:
                raise ValueError(
                    f"head_channels ({recipe.head_channels}) must be divisible by heads"
                    f" ({recipe.heads}) for a module at {HEAD!r}"
                )

    def weights(self, recipe: Any) -> tuple[WeightsFile, ...]:
        """Return the file of the backbone's weights."""
        return weights_files(recipe.pretrained)

    def check_data(self, folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
        """Read images and labels as training and evaluation will."""
        from plugins.segmentation.data.check import check

        return check(folder, whole, progress)

    def smoke(self, recipe: Any) -> Any:
        """Return the same training at toy width: two steps on embedded data, and an evaluation."""
        return recipe.toy(
            head_channels=32,
            crop=(65, 65) if recipe.align_corners else (64, 64),
            image_scale=recipe.image_scale and (128, 128),
            evaluation_stride=recipe.evaluation_stride and (43, 43),
        )

    def preload(self) -> None:
        """Import MMSegmentation."""
        from plugins.segmentation import train  # noqa: F401

    def train(self, job: Job) -> None:
        """Train and evaluate, every `evaluation_interval` epochs and after the last."""
        from plugins.segmentation.train import train

        train(job)

    def cost(self, job: Job, outputs: int | None = None) -> Cost:
        """Count one image of the size of a training crop."""
        from plugins.segmentation.train import cost

        return cost(job, outputs)

    def probe(self, job: Job, steps: int, outputs: int | None = None) -> Probed:
        """Make steps on images of the size of a training crop."""
        from plugins.segmentation.probe import probe

        return probe(job, steps, outputs)

    def training_steps(self, recipe: Any, items: int | None, data: Path | None) -> int | None:
        """Count the images' whole batches."""
        return recipe.steps(items, whole=True)

    def evaluate(self, job: Job, checkpoint: Path) -> dict[str, float]:
        """Return the metrics of the validation split for the weights of a run."""
        from plugins.segmentation.train import evaluate

        return evaluate(job, checkpoint)

    def value_of_items(self, items: Arrays, weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return mIoU of samples of the images."""
        from plugins.segmentation.items import iou_of_samples

        return iou_of_samples(items, weights)

    def look(
        self, job: Job, source: str, query: tuple[int, int] | None
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Return what the mechanisms weigh for one pixel of the image file `source`."""
        from plugins.openmmlab.look import look
        from plugins.segmentation.config import runner_config

        return look(job, runner_config(job), Path(source), query)
