"""What passes between the worker and a task's plugin.

A task is a package with two modules. ``recipe`` imports no framework, since planning a grid needs
it; ``train`` does the work. What each offers stands in :class:`RecipeModule` and
:class:`TrainModule`. A third, ``published``, knows of checkpoints that others have published, see
:class:`PublishedModule`; a task may do without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from plugins.attention.core.word import Mechanism

__all__ = [
    "CheckpointError",
    "Job",
    "PublishedModule",
    "RecipeModule",
    "Stopped",
    "TrainModule",
]


class CheckpointError(ValueError):
    """A file holds no weights for a run's model, for a reason that its user can mend."""


class Stopped(BaseException):
    """A run ends early, to be resumed. No `Exception`: no framework takes it for its own error."""


@dataclass(frozen=True)
class Job:
    """One run, as its task's plugin sees it.

    Attributes
    ----------
    mechanism: Mechanism
        What attends.
    sites: tuple of str
        Where.
    seed: int
        Seed of everything random.
    recipe: BaseModel
        The task's ``Recipe``, complete.
    data: Path
        Folder of the prepared data set.
    folder: Path
        The run folder. The plugin writes ``train.log`` and ``checkpoints/`` there and nothing else.
        Training resumes from the last good checkpoint it finds.
    device: str
        ``cpu`` or ``cuda``.
    record: callable
        ``record("train", step=10, epoch=1, loss=2.3)`` appends a line to ``metrics.jsonl``; the
        splits are ``untrained`` (once, before the first step), ``train`` and ``val``. The last
        ``val`` record is the run's result.
    recorded: callable
        ``recorded("untrained")`` returns the records of a split that exist already.
    rank, world: int
        This process among those that train the run together, from 0, and how many they are. All
        share the recipe's batch, so that a result does not depend on their number. Only rank 0
        writes; `record` of the others does nothing.
    stopping: callable
        ``stopping()`` says whether the run has been told to end soon. A plugin asks between two
        steps; once it is true, it saves a checkpoint and raises `Stopped`.
    """

    mechanism: Mechanism
    sites: tuple[str, ...]
    seed: int
    recipe: Any
    data: Path
    folder: Path
    device: str
    record: Callable[..., None]
    recorded: Callable[[str], list[dict[str, Any]]]
    rank: int = 0
    world: int = 1
    stopping: Callable[[], bool] = lambda: False


class RecipeModule(Protocol):
    """The torch-free half of a task: ``plugins.<task>.recipe``.

    Attributes
    ----------
    Recipe: type
        Everything but mechanism, sites and seed that defines a training; has a field ``data``. A
        property ``step``, if it has one, says in words what a step learns from. A method
        ``share(processes)``, if it has one, raises ValueError for a number of processes that cannot
        train a run together.
    VERSION: int
        Grows when the plugin's code changes what a recipe means.
    SITES, DEFAULT_SITES: tuple of str
        Where a mechanism can stand, and where it does unless the grid says otherwise.
    NONE_HAS_SITES: bool
        Whether ``none`` is another network at other sites.
    METRIC: str
        The metric that tables and figures show.
    """

    Recipe: type[BaseModel]
    VERSION: int
    SITES: tuple[str, ...]
    DEFAULT_SITES: tuple[str, ...]
    NONE_HAS_SITES: bool
    METRIC: str

    def check(self, mechanism: Mechanism, sites: Sequence[str], recipe: Any) -> None:
        """Raise ValueError if the task cannot put this mechanism at these sites."""

    def smoke(self, recipe: Any) -> Any:
        """Return a `Recipe` of the same kind that embedded data and a laptop do in a minute.

        ``--smoke`` asks for it; a task may do without.
        """


class TrainModule(Protocol):
    """The other half: ``plugins.<task>.train``."""

    def train(self, job: Job) -> None:
        """Train and evaluate, from the last checkpoint if there is one."""

    def cost(self, job: Job, outputs: int | None = None) -> Any:
        """Build the run's model and return its :class:`plugins.attention.core.cost.Cost`.

        `outputs` is the number of classes, or of words of the vocabulary, where the data set is
        not there to tell.
        """

    def evaluate(self, job: Job, checkpoint: Path) -> dict[str, float]:
        """Return the metrics of the ``val`` records for the weights in a file; may be missing.

        The job's recipe says on what, and how; its folder may be written to. Raises
        :class:`CheckpointError` if the weights are not of the run's model.
        """


class PublishedModule(Protocol):
    """Checkpoints that others have published: ``plugins.<task>.published``."""

    def find(self, word: str) -> Any:
        """Return what is known under a name or a file name, None if nothing is.

        It has ``name``, ``weights`` (a URL), ``data`` (name of the data set of the metrics) and
        ``metrics`` (by the study's names, in its units).
        """

    def names(self) -> list[str]:
        """Return all words that `find` knows."""

    def check(self, job: Job, entry: Any) -> None:
        """Raise :class:`CheckpointError` if the published model is not that of the run."""

    def otherwise_evaluated(self, job: Job, entry: Any) -> list[str]:
        """Say in what the run evaluates a model otherwise than was done for the metrics."""
