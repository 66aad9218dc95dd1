"""What a task is: one class, found by the entry point ``study.tasks``.

A task derives from :class:`Task`, and from :class:`ChecksData`, :class:`Smokes`, :class:`Probes`,
:class:`Evaluates`, :class:`plugins.contracts.items.CountsItems`,
:class:`plugins.contracts.confusion.Confuses`, :class:`plugins.contracts.needs.Needs`,
:class:`Looks` and :class:`Publishes` as far as it can do these. Planning a grid imports the class,
so its file imports no framework; the methods that need one import it themselves.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from plugins.attention.core.site import Site
from plugins.attention.core.standing import placed
from plugins.attention.core.word import Word
from plugins.contracts.dataset import Checked
from plugins.contracts.job import Job
from plugins.contracts.metric import Metric
from plugins.contracts.probe import Probed
from plugins.contracts.recipe import Recipe
from plugins.contracts.weights import WeightsFile

if TYPE_CHECKING:
    import numpy as np

    from plugins.attention.core.cost import Cost
    from plugins.attention.core.mechanism import Mechanism

__all__ = [
    "ChecksData",
    "Evaluates",
    "Looks",
    "Probes",
    "Published",
    "Publishes",
    "Smokes",
    "Task",
]


class Task(ABC):
    """How one run trains, and what a grid may ask of it.

    Attributes
    ----------
    name: str
        As in grids, and in the entry point.
    version: int
        Grows when the same recipe means another training; part of the identity of every run.
    Recipe: type
        What defines a training besides mechanism, sites and seed.
    sites: tuple of str
        Names of the sites, in their order.
    default_sites: tuple of str
        Where mechanisms stand unless the grid says otherwise.
    none_has_sites: bool
        Whether ``none`` is another network at other sites.
    metrics: tuple of Metric
        What is recorded; the first is what tables and figures show.
    packages: tuple of str
        Distributions whose versions are recorded with every run, the framework's among them.
    imports: tuple of str
        Modules that ``study doctor`` tries to import.
    mechanism_fields: tuple of str
        Fields of the recipe that only mechanisms read. A field that a run's mechanism does not use
        stays out of the run's identity.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    Recipe: ClassVar[type[Recipe]]
    sites: ClassVar[tuple[str, ...]]
    default_sites: ClassVar[tuple[str, ...]]
    none_has_sites: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]]
    packages: ClassVar[tuple[str, ...]] = ()
    imports: ClassVar[tuple[str, ...]] = ()
    mechanism_fields: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def site(self, name: str, recipe: Any) -> Site:
        """Return what is known of a site before the network is built.

        Raises
        ------
        ValueError
            If the network has no such site.
        """

    def order(self, sites: Sequence[str]) -> tuple[str, ...]:
        """Return sites in their one order, so that equal choices are equal; paths come last."""
        known = {name: number for number, name in enumerate(self.sites)}
        return tuple(sorted({*sites}, key=lambda name: (known.get(name, len(known)), name)))

    def check(self, word: Word, sites: Sequence[str], recipe: Any) -> None:
        """Raise ValueError if the word's mechanisms cannot stand at the sites, or learn nothing."""
        standing = placed(word, {name: self.site(name, recipe) for name in sites})
        for name, parts in standing.items():
            for part in parts.values():
                if why := self.unlearnt(part, name, recipe):
                    raise ValueError(f"mechanism {str(word)!r} would learn nothing {why}")

    def unlearnt(self, part: Mechanism, site: str, recipe: Any) -> str:
        """Return where and why a mechanism at a site would not be trained; empty if it would."""
        return ""

    def elsewhere(self, recipe: Any) -> tuple[Word, ...]:
        """Return what stands at sites that the grid does not vary."""
        return ()

    def versions(self, word: Word, recipe: Any) -> dict[str, int]:
        """Return the versions, beyond the first, of all mechanisms that a run has."""
        found = dict(word.versions)
        for other in self.elsewhere(recipe):
            found |= other.versions
        return found

    def weights(self, recipe: Any) -> tuple[WeightsFile, ...]:
        """Return the files of weights that a training starts from; nothing is fetched.

        Raises
        ------
        ValueError
            If the recipe names one that does not exist.
        """
        return ()

    @abstractmethod
    def train(self, job: Job) -> None:
        """Train and evaluate, from the last checkpoint if there is one."""

    @abstractmethod
    def cost(self, job: Job, outputs: int | None = None) -> Cost:
        """Build the run's model and count what it costs.

        `outputs` is the number of classes, or of words in the vocabulary, if there is no data set
        to give it.
        """

    def progress(self, recipe: Any, record: Mapping[str, Any]) -> float:
        """Return the share of the training that is done, from the newest ``train`` record."""
        epochs = getattr(recipe, "epochs", None)
        return float(record.get("epoch", 0)) / epochs if epochs else 0.0

    def preload(self) -> None:
        """Import the framework, for a process that workers are forked from; calculate nothing."""
        for name in self.imports:
            importlib.import_module(name)

    def metric(self, name: str) -> Metric:
        """Return the definition of a recorded metric; a plain one if the name is unknown."""
        return next((metric for metric in self.metrics if metric.name == name), Metric(name))


class ChecksData(ABC):
    """A task that can tell before training whether a data set is what it will read."""

    @abstractmethod
    def check_data(self, folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
        """Read a prepared set, whoever made it, as training and evaluation will read it.

        Parameters
        ----------
        folder: Path
            Of the set.
        whole: bool
            Whether every item is opened. Of a published set, whose files are known, a sample will
            do.
        progress: callable
            Told what is being done.

        Raises
        ------
        PrepareError
            If training would fail on it, or learn or measure something wrong. It names file and
            entry.
        """


class Smokes(ABC):
    """A task that can show in a minute whether everything works."""

    @abstractmethod
    def smoke(self, recipe: Any) -> Any:
        """Return a recipe of the same kind for embedded data and a minute on a laptop."""


class Probes(ABC):
    """A task that can try some steps of a training at full size, without data and weights."""

    @abstractmethod
    def probe(self, job: Job, steps: int, outputs: int | None = None) -> Probed:
        """Make steps of a training on made-up inputs of the recipe's size, from random weights.

        Parameters
        ----------
        job: Job
            The run. ``job.world`` says among how many processes the recipe's batch is shared; this
            one makes the first one's part of each step, without the others.
        steps: int
            To be timed.
        outputs: int, optional
            The number of classes, or of words in the vocabulary, if there is no data set to give
            it. There is no ``job.data`` then.

        Raises
        ------
        Exception
            One of a class named ``OutOfMemoryError``, as torch's is, says that a step does not fit
            into the device's memory. Any other is a failure.
        """

    @abstractmethod
    def training_steps(self, recipe: Any, items: int | None, data: Path | None) -> int | None:
        """Return how many such steps a whole training has, None if that is not known.

        Parameters
        ----------
        recipe: BaseModel
            The task's ``Recipe``.
        items: int, optional
            What there is to learn from, in the unit of the data set's card.
        data: Path, optional
            Folder of the prepared data set.
        """


class Evaluates(ABC):
    """A task that can evaluate weights from a file."""

    @abstractmethod
    def evaluate(self, job: Job, checkpoint: Path) -> dict[str, float]:
        """Return the metrics of the ``val`` records for the weights in a file.

        The job's recipe says on what and how. The job's folder may be written to.

        Raises
        ------
        CheckpointError
            If the weights are not of the run's model.
        """


class Looks(ABC):
    """A task that can show where a trained model looks.

    Attributes
    ----------
    asks: bool
        Whether it is a question that looks at an image, and not a pixel.
    """

    asks: ClassVar[bool] = False

    @abstractmethod
    def look(self, job: Job, source: str, query: Any) -> dict[str, np.ndarray[Any, Any]]:
        """Return the weights of a mechanism, and what it looked at, as arrays by name.

        `source` is an image file, and `query` the column and row of a pixel in it, None for the
        middle one; of a task that `asks`, it is a question. Or `source` is a sentence.
        ``<module>/weights`` are attention weights; the mechanism names anything else. ``image`` and
        ``query`` or ``question``, or ``source`` and ``target``, are what it looked at.
        """


class Published(ABC):
    """Checkpoints that others have published."""

    @abstractmethod
    def find(self, word: str) -> Any:
        """Return the entry for a name or a file name, None if there is none.

        It has ``name``, ``weights`` (a URL), ``data`` (name of the data set of the metrics) and
        ``metrics`` (by the study's names, in its units).
        """

    @abstractmethod
    def names(self) -> list[str]:
        """Return all words that `find` knows."""

    @abstractmethod
    def check(self, job: Job, entry: Any) -> None:
        """Raise CheckpointError if the published model is not that of the run."""

    @abstractmethod
    def otherwise_evaluated(self, job: Job, entry: Any) -> list[str]:
        """Say how the run's evaluation differs from the one behind the published metrics."""


class Publishes(ABC):
    """A task that knows published checkpoints."""

    @abstractmethod
    def published(self) -> Published:
        """Return them."""
