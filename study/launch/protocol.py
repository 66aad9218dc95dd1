"""What a launcher is: something that carries out runs, here or by the jobs of a scheduler.

A launcher is a class, named by an entry point of the group ``study.launchers``. Those that come
with the study have a folder each beside this file. Another distribution may bring its own::

    [project.entry-points."study.launchers"]
    pbs = "their_package.pbs:PbsLauncher"

Every attempt records the name of the launcher that submitted it. Whatever is asked about the
attempt later goes to the launcher of that name.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol

from study.errors import StudyError, nearest
from study.launch.jobs import Answers, Jobs
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder

__all__ = [
    *(
        "BadNode",
        "Check",
        "Launcher",
        "NotInstalled",
        "Order",
        "Outcome",
        "Profile",
        "SchedulerAway",
    ),
    *("find_launcher", "launcher_names", "title"),
]


class NotInstalled(StudyError):
    """No launcher has this name."""


class SchedulerAway(StudyError):
    """Nothing can be submitted now; later it can."""


class Profile(Protocol):
    """What a run may use, as ``--cluster`` and its options say."""

    @property
    def nodes(self) -> int:
        """Nodes that train one run together."""

    @property
    def processes(self) -> int:
        """Processes that train one run together."""

    @property
    def gpu_hours(self) -> float:
        """What a run may use of GPUs up to its time limit."""

    @property
    def node_hours(self) -> float:
        """What a run may use of nodes up to its time limit; infinite if there is none."""

    def memory(self, failures: int) -> float | None:
        """Gigabytes a node for a run of which so many attempts had too little; None: no limit."""


@dataclass(frozen=True)
class BadNode:
    """A node on which runs end at once.

    Attributes
    ----------
    name: str
        The scheduler's name of it.
    attempts, of: int
        How many attempts ended at once, of all that ended there since the first of these.
    seconds: float
        The longest of these.
    elsewhere: int
        Attempts that trained on other nodes meanwhile.
    """

    name: str
    attempts: int
    of: int
    seconds: float
    elsewhere: int

    def __str__(self) -> str:
        """Say what is known of it."""
        return (
            f"{self.name}: {self.attempts} of {self.of} attempts ended there within"
            f" {max(1, round(self.seconds))} s, before a first step; {self.elsewhere} elsewhere"
            " went well"
        )


@dataclass(frozen=True)
class Order:
    """How runs are to be carried out.

    Attributes
    ----------
    root: Path
        Folder of the run folders.
    profile: Profile
        What the launcher's `profile` returned.
    pack: int
        Runs a job, side by side.
    packages: sequence of str
        Packages of the runs' tasks, which jobs need beside our own.
    bad: sequence of BadNode
        Nodes on which runs end at once.
    tell: callable
        Called with what happens, in sentences.
    refresh: callable
        Called several times a second while `submit` waits for runs to end.
    """

    root: Path
    profile: Any
    pack: int = 1
    packages: Sequence[str] = ()
    bad: Sequence[BadNode] = ()
    tell: Callable[[str], object] = print
    refresh: Callable[[], object] = lambda: None


@dataclass
class Outcome:
    """What became of a submission.

    Attributes
    ----------
    jobs: dict
        Runs submitted, by the id of their job.
    waiting: list of RunFolder
        Runs for which there was no room now.
    taken: list of RunFolder
        Runs that somebody else has begun meanwhile.
    unanswered: dict
        Runs of a job of which the scheduler did not say whether it has it, by the job's name.
    stopped: bool
        Whether the user stopped `submit` while it waited for runs to end.
    """

    jobs: dict[str, list[RunFolder]] = field(default_factory=dict)
    waiting: list[RunFolder] = field(default_factory=list)
    taken: list[RunFolder] = field(default_factory=list)
    unanswered: dict[str, list[RunFolder]] = field(default_factory=dict)
    stopped: bool = False


@dataclass(frozen=True)
class Check:
    """One line of ``study doctor``.

    Attributes
    ----------
    what, found: str
        The subject, and what is there.
    ok: bool
        Whether that is enough.
    remedy: str
        The command that brings what is missing.
    optional: bool
        Whether the study works without it.
    """

    what: str
    found: str
    ok: bool
    remedy: str = ""
    optional: bool = False


class Launcher(ABC):
    """A way to have runs carried out. An object of the class is made once and holds no state.

    Attributes
    ----------
    title: str
        What users call it.
    keeps_queue: bool
        Whether `submit` leaves jobs in a queue and returns. Otherwise it returns when the runs have
        ended, and ``study submit`` leaves them to a ``study run`` in the background.
    words: mapping of str to str
        Causes of :mod:`study.launch.retries` by the scheduler's word for how a job ended, where
        that word says more than a worker can know.
    variables: tuple of str
        Environment variables of a job to record in ``provenance.json``, such as its id.
    """

    title: ClassVar[str]
    keeps_queue: ClassVar[bool] = True
    words: ClassVar[Mapping[str, str]] = {}
    variables: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def clusters(self) -> list[str]:
        """Return the names that ``--cluster`` takes for this launcher."""

    @abstractmethod
    def profile(self, cluster: str, options: Sequence[str] = ()) -> Profile:
        """Return what runs may use on `cluster`, with ``KEY=VALUE`` in place of what that says.

        Raises
        ------
        StudyError
            With what is wrong, where, and what would be right.
        """

    def one_process(self, profile: Profile, minutes: int) -> Profile:
        """Return what one process of a run gets by `profile`, for so many minutes at most."""
        return profile

    def ready(self) -> None:
        """Raise `StudyError` if nothing can be submitted from this machine."""
        return

    @abstractmethod
    def submit(self, folders: Sequence[RunFolder], order: Order, said: Answers) -> Outcome:
        """Carry out runs, or queue them.

        Parameters
        ----------
        folders: sequence of RunFolder
            Runs for which an attempt is due. The launcher claims each before it starts anything.
        order: Order
            How.
        said: Answers
            What the launchers said of the runs' newest attempts.

        Raises
        ------
        SchedulerAway
            If the scheduler does not answer.
        StudyError
            If it refuses such jobs. Nothing is queued then.
        """

    def scripts(self, folders: Sequence[RunFolder], order: Order, said: Answers) -> Iterator[str]:
        """Yield what `submit` would hand in, for ``--dry-run``; changes nothing."""
        yield from ()

    @abstractmethod
    def states(self, attempts: Sequence[Attempt]) -> Jobs:
        """Ask the scheduler about attempts that jobs of this launcher execute."""

    @abstractmethod
    def cancel(self, attempts: Sequence[Attempt], said: Jobs) -> Generator[str, None, bool | None]:
        """Ask attempts to end; yields what becomes of them, in sentences.

        Returns True if some could not be told.
        """

    @abstractmethod
    def logs(self, attempt: Attempt, err: bool) -> Path | None:
        """Return the log of an attempt's job, or what that wrote to standard error.

        Only asked of a job whose worker has written nothing. None if there is no such file.
        """

    @abstractmethod
    def checks(self) -> list[Check]:
        """Return lines for ``study doctor``: what this launcher finds here."""


@functools.cache
def _launchers() -> dict[str, Any]:
    return {entry.name: entry for entry in entry_points(group="study.launchers")}


def launcher_names() -> list[str]:
    """Return the names of all installed launchers."""
    return sorted(_launchers())


@functools.cache
def find_launcher(name: str) -> Launcher:
    """Return the launcher of that name; `NotInstalled` with the nearest name if there is none."""
    if name not in _launchers():
        raise NotInstalled(
            f"the launcher {name!r} is not installed here{nearest(name, launcher_names())}"
        )
    launcher: Launcher = _launchers()[name].load()()
    return launcher


def title(name: str | None) -> str:
    """Return what users call the launcher `name`: the name itself if it is not installed."""
    return find_launcher(name).title if name in _launchers() else str(name)
