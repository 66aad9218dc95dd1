"""Classification: a ResNet, or a network that is attention throughout. Imports no framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.attention.core.site import MapSite
from plugins.attention.core.word import Word
from plugins.classification.recipe import Recipe
from plugins.classification.sites import SITES, site
from plugins.contracts.confusion import Confuses, Confusion
from plugins.contracts.dataset import Checked
from plugins.contracts.items import CountsItems
from plugins.contracts.job import Job
from plugins.contracts.metric import Metric
from plugins.contracts.probe import Probed
from plugins.contracts.task import ChecksData, Evaluates, Looks, Probes, Smokes, Task
from plugins.contracts.weights import WeightsFile
from plugins.openmmlab.pretrained import weights_files

if TYPE_CHECKING:
    import numpy as np

    from plugins.attention.core.cost import Cost
    from plugins.contracts.items import Arrays

__all__ = ["Classification"]


class Classification(Task, ChecksData, Smokes, Probes, Evaluates, CountsItems, Confuses, Looks):
    """Classification of images with MMEngine; the data sets have a folder a class."""

    name = "classification"
    Recipe = Recipe
    sites = SITES
    default_sites = ("conv4", "conv5")
    metrics = (
        Metric("accuracy", "share of images whose class is named", point=0.01, best=1),
        Metric(
            "accuracy_5", "share of images whose class is among five guesses", point=0.01, best=1
        ),
        Metric("mean_class_accuracy", "mean accuracy of the classes", point=0.01, best=1),
        Metric("cross_entropy", "nats an image", higher_is_better=False, best=0),
    )
    packages = ("onedl-mmcv", "onedl-mmengine", "onedl-mmdetection")
    imports = ("mmcv.ops", "mmdet.models")
    mechanism_fields = ("heads", "kv_stride")

    def site(self, name: str, recipe: Any) -> MapSite:
        """Return a stage, the image, or a module of the backbone."""
        return site(name, recipe)

    def check(self, word: Word, sites: Sequence[str], recipe: Any) -> None:
        """Refuse what cannot stand there, and any mechanism in a network that is one itself."""
        if recipe.network == "resnet":
            super().check(word, sites, recipe)
        elif word.parts:
            raise ValueError(
                f"mechanism {word}: network {recipe.network} is attention throughout and has no"
                " sites; in its grid there is none but 'none'"
            )

    def weights(self, recipe: Any) -> tuple[WeightsFile, ...]:
        """Return the file of the backbone's weights."""
        return weights_files(recipe.pretrained)

    def check_data(self, folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
        """Read images and classes as training and evaluation will."""
        from plugins.classification.data.check import check

        return check(folder, whole, progress)

    def smoke(self, recipe: Any) -> Any:
        """Return the same training at toy width: two steps on embedded data, and an evaluation."""
        return recipe.toy(
            crop=(64, 64),
            evaluation_resize=recipe.evaluation_resize and 64,
            warmup_epochs=0,
            decay_epochs=recipe.decay_epochs and (1,),
        )

    def preload(self) -> None:
        """Import MMDetection's backbones."""
        from plugins.classification import train  # noqa: F401

    def train(self, job: Job) -> None:
        """Train and evaluate, every `evaluation_interval` epochs and after the last."""
        from plugins.classification.train import train

        train(job)

    def cost(self, job: Job, outputs: int | None = None) -> Cost:
        """Count one image of the size of a training crop."""
        from plugins.classification.train import cost

        return cost(job, outputs)

    def probe(self, job: Job, steps: int, outputs: int | None = None) -> Probed:
        """Make steps on images of the size of a training crop."""
        from plugins.classification.probe import probe

        return probe(job, steps, outputs)

    def training_steps(self, recipe: Any, items: int | None, data: Path | None) -> int | None:
        """Count the images' whole batches."""
        return recipe.steps(items, whole=True)

    def evaluate(self, job: Job, checkpoint: Path) -> dict[str, float]:
        """Return the metrics of the validation split for the weights of a run."""
        from plugins.classification.train import evaluate

        return evaluate(job, checkpoint)

    def value_of_items(self, items: Arrays, weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return accuracy of samples of the images."""
        from plugins.classification.items import accuracy_of_samples

        return accuracy_of_samples(items, weights)

    def confusion(self, items: Arrays) -> Confusion:
        """Count the images by label and prediction."""
        from plugins.classification.items import confusion

        return confusion(items)

    def look(
        self, job: Job, source: str, query: tuple[int, int] | None
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Return what the mechanisms weigh for one pixel of the image file `source`."""
        from plugins.classification.config import runner_config
        from plugins.openmmlab.look import look

        return look(job, runner_config(job), Path(source), query)
