"""Object detection: Faster R-CNN with a ResNet and a feature pyramid. Imports no framework."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.attention.core.site import MapSite
from plugins.contracts.dataset import Checked
from plugins.contracts.items import CountsItems
from plugins.contracts.job import Job
from plugins.contracts.metric import Metric
from plugins.contracts.probe import Probed
from plugins.contracts.task import (
    ChecksData,
    Evaluates,
    Looks,
    Probes,
    Published,
    Publishes,
    Smokes,
    Task,
)
from plugins.contracts.weights import WeightsFile
from plugins.detection.recipe import Recipe
from plugins.openmmlab import sites as common
from plugins.openmmlab.pretrained import weights_files

if TYPE_CHECKING:
    import numpy as np

    from plugins.attention.core.cost import Cost
    from plugins.attention.core.mechanism import Mechanism
    from plugins.contracts.items import Arrays

__all__ = ["Detection"]

STRIDES = (4, 8, 16, 32)


class Detection(Task, ChecksData, Smokes, Probes, Evaluates, CountsItems, Looks, Publishes):
    """Detection with MMDetection; the data sets have COCO's format."""

    name = "detection"
    Recipe = Recipe
    sites = (*common.STAGES, common.IMAGE)
    default_sites = ("conv4", "conv5")
    metrics = (
        Metric(
            "mAP",
            "average precision over IoU 0.50 to 0.95",
            point=0.01,
            best=1,
            lacking="no image of the validation set has a box",
        ),
        Metric("mAP_50", "average precision at IoU 0.50", point=0.01, best=1),
        Metric("mAP_75", "average precision at IoU 0.75", point=0.01, best=1),
    )
    packages = ("onedl-mmcv", "onedl-mmengine", "onedl-mmdetection", "pycocotools")
    imports = ("mmcv.ops", "mmdet.datasets", "mmdet.models")
    mechanism_fields = ("heads", "kv_stride")

    def site(self, name: str, recipe: Any) -> MapSite:
        """Return a stage, the image, or a module of the backbone."""
        width, height = recipe.image_scale
        return common.site(
            name,
            recipe.base_channels,
            recipe.depth,
            recipe.heads,
            recipe.kv_stride,
            STRIDES,
            image=(height, width),
            pretrained=recipe.pretrained is not None,
            aligned=True,
        )

    def unlearnt(self, part: Mechanism, site: str, recipe: Any) -> str:
        """Name the stage that is frozen: the site's, or one of deformable convolution's own."""
        own = recipe.deformable_stages
        moved = own is not None and part.name == "deformable" and site in common.STAGES
        for place in own if moved else (site,):
            if common.frozen(place, recipe.frozen_stages):
                return f"at {place!r}, which frozen_stages ({recipe.frozen_stages}) freezes"
        return ""

    def weights(self, recipe: Any) -> tuple[WeightsFile, ...]:
        """Return the file of the backbone's weights."""
        return weights_files(recipe.pretrained)

    def check_data(self, folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
        """Read annotations and images as training and evaluation do."""
        from plugins.detection.data.check import check

        return check(folder, whole, progress)

    def smoke(self, recipe: Any) -> Any:
        """Return the same training at toy width: two steps on embedded data, and an evaluation."""
        return recipe.toy(
            frozen_stages=-1,
            fpn_channels=32,
            head_channels=64,
            anchor_scale=4,
            proposals=50,
            rois=32,
            image_scale=(128, 128),
            warmup_iterations=2,
        )

    def preload(self) -> None:
        """Import MMDetection."""
        from plugins.detection import train  # noqa: F401

    def train(self, job: Job) -> None:
        """Train and evaluate, every `evaluation_interval` epochs and after the last."""
        from plugins.detection.train import train

        train(job)

    def cost(self, job: Job, outputs: int | None = None) -> Cost:
        """Count one image of the recipe's size."""
        from plugins.detection.train import cost

        return cost(job, outputs)

    def probe(self, job: Job, steps: int, outputs: int | None = None) -> Probed:
        """Make steps on images of the recipe's largest size."""
        from plugins.detection.probe import probe

        return probe(job, steps, outputs)

    def training_steps(self, recipe: Any, items: int | None, data: Path | None) -> int | None:
        """Count the images' batches; the last of an epoch may be smaller."""
        return recipe.steps(items, whole=False)

    def evaluate(self, job: Job, checkpoint: Path) -> dict[str, float]:
        """Return the metrics of weights of a run, or of a detector of MMDetection's."""
        from plugins.detection.train import evaluate

        return evaluate(job, checkpoint)

    def value_of_items(self, items: Arrays, weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return mAP of samples of the images."""
        from plugins.detection.items import map_of_samples

        return map_of_samples(items, weights)

    def look(
        self, job: Job, source: str, query: tuple[int, int] | None
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Return what the mechanisms weigh for one pixel of the image file `source`."""
        from plugins.detection.config import runner_config
        from plugins.openmmlab.look import look

        return look(job, runner_config(job), Path(source), query)

    def published(self) -> Published:
        """Return MMDetection's model index."""
        from plugins.detection.published import ModelIndex

        return ModelIndex()
