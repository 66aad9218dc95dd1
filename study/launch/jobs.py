"""What a scheduler says of the jobs that execute attempts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from study.runs.attempt import GONE, Attempt, last_sign

__all__ = ["Answers", "Job", "Jobs"]


@dataclass(frozen=True)
class Job(ABC):
    """A job, or a task of an array of jobs, as its scheduler shows it.

    Attributes
    ----------
    job: str
        Its id.
    state, reason: str
        Its state, and why it waits if it does, in the scheduler's words.
    node: str
        Where it is; empty while it waits.
    ended, began: float, optional
        When it ended, and when it began, in seconds since the epoch.
    """

    job: str
    state: str
    reason: str
    node: str
    ended: float | None
    began: float | None = None

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether it waits or runs."""


@dataclass
class Jobs:
    """The answer of one launcher about some attempts; this one knows none of them.

    Attributes
    ----------
    trouble: list of str
        What could not be asked, in the scheduler's words.
    answered: bool
        Whether the scheduler answered. Only then an unknown job is one that is gone.
    """

    trouble: list[str] = field(default_factory=list, kw_only=True)
    answered: bool = field(default=True, kw_only=True)

    def job(self, attempt: Attempt) -> Job | None:
        """Return the job that executes `attempt`, None if none is known."""
        return None

    def state(self, attempt: Attempt) -> str | None:
        """Say the state of an attempt, one of `STATES`; None where its own record stands."""
        return None

    def word(self, attempt: Attempt) -> str | None:
        """Return the scheduler's word for how an attempt ended, None if that adds nothing."""
        return None

    def why(self, attempt: Attempt) -> str:
        """Say in a sentence how an attempt ended that left no record."""
        return GONE

    def open(self, attempt: Attempt) -> bool:
        """Whether the scheduler may know better than the attempt's record."""
        return attempt.by_job and attempt.exit is None

    def gone(self, attempt: Attempt) -> bool:
        """Whether the attempt's job has ended, or is unknown to a scheduler that answers."""
        job = self.job(attempt)
        return self.answered if job is None else not job.alive

    def settle(self, attempt: Attempt, state: str) -> bool:
        """Record what is known of the end of an attempt that is in `state`; False if it goes on."""
        word = self.word(attempt)
        if attempt.exit is None:
            job = self.job(attempt)
            ended = job.ended if job and job.ended else last_sign(attempt)
            more: dict[str, Any] = {"scheduler": word} if word else {}
            if job is not None:
                told = {"node": job.node, "began": job.began, "ended": job.ended}
                more["job"] = {"id": job.job, **told}
            return attempt.write_off(state, self.why(attempt), ended, **more)
        if word and "scheduler" not in attempt.ending:
            attempt.note(word)
        return True


@dataclass(frozen=True)
class Answers:
    """What the launchers said of attempts that jobs execute, each asked once.

    Attributes
    ----------
    by: dict
        The answers by the name of the launcher.
    """

    by: dict[str, Jobs] = field(default_factory=dict)

    def of(self, attempt: Attempt) -> Jobs:
        """Return what the attempt's launcher said."""
        return self.by.get(str(attempt.launcher), Jobs()) if attempt.by_job else Jobs()

    def state(self, attempt: Attempt) -> str | None:
        """Say the state of an attempt, for `RunFolder.state`; None where its record stands."""
        return self.of(attempt).state(attempt)

    @property
    def answered(self) -> bool:
        """Whether all that were asked have answered."""
        return all(said.answered or not said.trouble for said in self.by.values())

    @property
    def trouble(self) -> list[str]:
        """What could not be asked; the records stand then."""
        return [trouble for said in self.by.values() for trouble in said.trouble]
