"""Question answering: words of a question meet cells of an image. Imports no framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.attention.core.site import Site
from plugins.attention.core.word import Word
from plugins.contracts.dataset import Checked
from plugins.contracts.items import CountsItems
from plugins.contracts.job import Job
from plugins.contracts.metric import Metric
from plugins.contracts.probe import Probed
from plugins.contracts.task import ChecksData, Evaluates, Looks, Probes, Smokes, Task
from plugins.contracts.weights import WeightsFile
from plugins.openmmlab.pretrained import weights_files
from plugins.question_answering.grounding import planning
from plugins.question_answering.recipe import Recipe
from plugins.question_answering.sites import POOL, SITES, site

if TYPE_CHECKING:
    import numpy as np

    from plugins.attention.core.cost import Cost
    from plugins.attention.core.mechanism import Mechanism
    from plugins.contracts.items import Arrays

__all__ = ["QuestionAnswering"]

BY_TYPE = ("accuracy", "pointing")


class QuestionAnswering(Task, ChecksData, Smokes, Probes, Evaluates, CountsItems, Looks):
    """Questions about images, and phrases that name boxes in them, with MMEngine."""

    name = "question_answering"
    Recipe = Recipe
    sites = SITES
    default_sites = (POOL,)
    metrics = (
        Metric(
            "accuracy",
            "share of questions answered, or phrases grounded, right",
            point=0.01,
            best=1,
        ),
        Metric("majority", "accuracy of the most frequent answer", 0.01, best=1, of_data=True),
        Metric(
            "question_only",
            "accuracy of the most frequent answer to each question",
            point=0.01,
            best=1,
            of_data=True,
        ),
        Metric(
            "upper_bound",
            "accuracy of the best known answers, or boxes",
            point=0.01,
            best=1,
            of_data=True,
        ),
        Metric(
            "pointing",
            "share of questions whose most attended cell is what they name",
            point=0.01,
            best=1,
        ),
        Metric("pointing_chance", "share of the cells that are", 0.01, best=1, of_data=True),
        Metric("cells_kept", "cells of an image", higher_is_better=False),
        Metric(
            "macs_kept",
            "MACs of a mechanism that multiplies these alone",
            higher_is_better=False,
            decimals=0,
        ),
        Metric("recall_5", "share of phrases that one of 5 boxes finds", point=0.01, best=1),
        Metric("recall_10", "share of phrases that one of 10 boxes finds", point=0.01, best=1),
        Metric("chance", "share of the boxes that are named", 0.01, best=1, of_data=True),
    )
    packages = ("onedl-mmcv", "onedl-mmengine", "onedl-mmdetection")
    imports = ("mmcv.ops", "mmdet.models")
    mechanism_fields = ("heads", "kv_stride", "all_cells_epochs")
    asks = True

    def site(self, name: str, recipe: Any) -> Site:
        """Return the pair of words and cells, a stage, or a module of the visual network."""
        return site(name, recipe)

    def check(self, word: Word, sites: Sequence[str], recipe: Any) -> None:
        """Refuse what cannot stand there, and any mechanism in a network that sees no image."""
        if recipe.network != "question_only":
            super().check(word, sites, recipe)
            if recipe.goal == "ground":
                planning.check(word, sites, POOL, self.site(POOL, recipe))
        elif word.parts:
            raise ValueError(
                f"mechanism {word}: network question_only sees no image, so in its grid there is"
                " none but 'none'"
            )

    def unlearnt(self, part: Mechanism, site: str, recipe: Any) -> str:
        """Say so of what stands in a visual network that never learns."""
        if site == POOL or not recipe.frozen_visual or recipe.visual_epochs:
            return ""
        return (
            f"at {site!r}, since the visual network is frozen from the start: set frozen_visual to"
            " false"
        )

    def metric(self, name: str) -> Metric:
        """Return the definition of a metric; of one by type or by glimpse, that of the whole."""
        whole = name.partition("_")[0]
        if whole == "entropy":
            return Metric(name, "nats of the weights")
        if whole in BY_TYPE and name not in {metric.name for metric in self.metrics}:
            return replace(super().metric(whole), name=name)
        return super().metric(name)

    def weights(self, recipe: Any) -> tuple[WeightsFile, ...]:
        """Return the file of the visual network's weights."""
        return weights_files(recipe.pretrained)

    def check_data(self, folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
        """Read questions, answers and images as training and evaluation will."""
        from plugins.question_answering.data.check import check

        return check(folder, whole, progress)

    def smoke(self, recipe: Any) -> Any:
        """Return the same training at toy width on two scenes, one step an epoch."""
        if recipe.goal == "ground":
            return self._smoke_of_phrases(recipe)
        visual = min(recipe.visual_epochs, 1)
        unlearnt = not visual and recipe.network != "question_only"
        fields = Recipe.model_fields
        return recipe.toy(
            network="convolutions" if recipe.takes_features else recipe.network,
            boxes=fields["boxes"].default,
            feature_channels=fields["feature_channels"].default,
            image_size=(64, 64),
            training_images=2,
            batch_size=12,
            channels=32,
            answer_channels=recipe.answer_channels and 32,
            word_channels=16,
            least=1,
            frozen_visual=recipe.frozen_visual and not unlearnt,
            visual_epochs=visual,
            all_cells_epochs=min(recipe.all_cells_epochs, 1 - visual),
            epochs=2,
        )

    def _smoke_of_phrases(self, recipe: Any) -> Any:
        """Return two steps on the eight phrases of two scenes, the first on the scenes alone."""
        return recipe.toy(
            network="convolutions" if recipe.takes_features else recipe.network,
            image_size=(64, 64),
            training_images=2,
            batch_size=6,
            channels=32,
            word_channels=16,
            boxes=8,
            feature_channels=Recipe.model_fields["feature_channels"].default,
            visual_epochs=1,
            epochs=2,
        )

    def preload(self) -> None:
        """Import MMDetection's backbones."""
        from plugins.question_answering import train  # noqa: F401

    def train(self, job: Job) -> None:
        """Train and evaluate, every `evaluation_interval` epochs and after the last."""
        from plugins.question_answering.train import train

        train(job)

    def cost(self, job: Job, outputs: int | None = None) -> Cost:
        """Count one image and one question or phrase."""
        from plugins.question_answering.train import cost

        return cost(job, outputs)

    def probe(self, job: Job, steps: int, outputs: int | None = None) -> Probed:
        """Make steps on questions, or phrases, and images of the recipe's size."""
        from plugins.question_answering.probe import probe

        return probe(job, steps, outputs)

    def training_steps(self, recipe: Any, items: int | None, data: Path | None) -> int | None:
        """Count the questions' whole batches, or the sentences'; `items` are questions."""
        if recipe.goal == "ground":
            if data is None:
                return None
            from plugins.question_answering.data.layout import read_phrases
            from plugins.question_answering.data.sentences import sentences

            items = len(sentences(read_phrases(data, "train", recipe.training_images)))
        elif recipe.training_images is not None:
            if data is None:
                return None
            from plugins.question_answering.data.layout import read_questions

            items = len(read_questions(data, "train", recipe.training_images))
        steps: int | None = recipe.model_copy(update={"training_images": None}).steps(items, True)
        return steps

    def evaluate(self, job: Job, checkpoint: Path) -> dict[str, float]:
        """Return the metrics of the validation split for the weights of a run."""
        from plugins.question_answering.train import evaluate

        return evaluate(job, checkpoint)

    def value_of_items(self, items: Arrays, weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return accuracy of samples of the questions."""
        from plugins.question_answering.metrics.items import accuracy_of_samples

        return accuracy_of_samples(items, weights)

    def look(self, job: Job, source: str, query: str) -> dict[str, np.ndarray[Any, Any]]:
        """Return how cells of the image file `source` are weighed for the question `query`.

        Or which boxes in it are named by the phrases in brackets in the sentence `query`.
        """
        from plugins.question_answering.look import look

        return look(job, Path(source), query)
