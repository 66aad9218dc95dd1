"""What the scheduler knows of attempts: one ``squeue`` and one ``sacct``, however many there are.

Jobs are found by name, which is a token that no other submission has: an id may be given again, and
is not known at all when the answer to ``sbatch`` was lost.
"""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from study.errors import StudyError
from study.launch.jobs import Job, Jobs
from study.launch.retries import cause_of
from study.launch.slurm.batch import batch_of
from study.launch.slurm.command import Refused, Unreachable, call
from study.launch.slurm.indices import CUT, parse
from study.launch.slurm.words import CAUSES, EVERY_STATE, NOBODYS, SAYS_MORE, WAITING, WORDS
from study.runs.attempt import Attempt, cancelled_by, last_sign

__all__ = ["ArrayTask", "Queue", "ended_before"]

LOST_SECONDS = 600.0
"""How long an attempt may show no sign of life and be unknown to a scheduler that answers."""

SETTLE_SECONDS = 60.0
"""How long a record may take from a compute node to here (NFS keeps attributes for up to a minute).
``STUDY_SETTLE_SECONDS`` replaces it."""

NO_REASON = ("None", "null", "N/A")
NO_NODE = ("None assigned", "(null)", "n/a")

MAY_COME_BACK = ("preempted", "timeout", "killed")
"""Ends after which Slurm may start the same job again."""


@dataclass(frozen=True)
class ArrayTask(Job):
    """A task of a job array."""

    @property
    def alive(self) -> bool:
        """Whether it waits or runs: any state that is not known to be an end."""
        return self.state not in CAUSES


@dataclass
class Queue(Jobs):
    """The tasks of the arrays that some attempts belong to.

    Attributes
    ----------
    tasks: dict
        By name of the array and index.
    cut: dict
        Of lists that Slurm cut, by name of the array: the index from which they may go on, and what
        they say.
    accounts: dict
        Arrays that the accounting knows: ids by name.
    answered: bool
        Whether ``squeue`` answered.
    """

    tasks: dict[tuple[str, int], ArrayTask] = field(default_factory=dict)
    cut: dict[str, tuple[int, ArrayTask]] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    answered: bool = field(default=False, kw_only=True)

    @classmethod
    def ask(cls, attempts: Iterable[Attempt]) -> Queue:
        """Ask for all that may still change; no call at all if nothing may."""
        queue = cls()
        open_ = [attempt for attempt in attempts if queue.open(attempt)]
        wanted = {_key(attempt) for attempt in open_}
        if not wanted:
            return queue
        since = min(attempt.submission["time"] for attempt in open_ if attempt.submission)
        names = sorted({name for name, _ in wanted})
        queue.read_squeue(names)
        unknown = {name for name, index in wanted if (name, index) not in queue.tasks}
        cancelled = {key for key, task in queue.tasks.items() if task.state == "CANCELLED"}
        unknown |= {name for name, _ in cancelled & wanted}
        if unknown:
            queue.read_sacct(sorted(unknown), since)
        return queue

    def read_squeue(self, names: list[str]) -> None:
        """Take what waits or runs, and what ended so lately that the controller remembers it."""
        command = ["squeue", "--all", "--noheader", "--array", "--states=all"]
        command.append(f"--name={','.join(names)}")
        try:
            answer = call(*command, "--format=%j|%F|%K|%T|%e|%N|%r|%S")
        except (Unreachable, Refused) as error:
            self.trouble.append(str(error))
            return
        self.answered = True
        rows = [[*line.strip().split("|"), *[""] * 8][:8] for line in answer.splitlines()]
        self._take(rows)

    def read_sacct(self, names: list[str], since: float) -> None:
        """Take what the accounting knows of tasks that the controller has forgotten."""
        start = datetime.fromtimestamp(since - 3600).isoformat(timespec="seconds")
        command = ["sacct", "--noheader", "--parsable2", "--allocations", "--allusers"]
        # Without an end in the future a job that waits again would be shown as it ended before.
        command += [f"--starttime={start}", "--endtime=now+1hour", f"--state={EVERY_STATE}"]
        command.append(f"--name={','.join(names)}")
        try:
            answer = call(*command, "--format=JobName,JobID,State,End,NodeList,Reason,Start")
        except (Unreachable, Refused) as error:
            self.trouble.append(str(error))
            return
        rows = []
        for line in answer.splitlines():
            name, number, state, *more = [*line.strip().split("|"), *[""] * 7][:7]
            if "." in number.replace(CUT, ""):
                continue  # a step, whose end is not the job's
            job, _, index = number.partition("_")
            if index:
                self.accounts[name] = job
            word, _, by = state.partition(" ")
            word = word.rstrip("+")
            if word == "CANCELLED" and not by and not state.endswith("+"):
                word = NOBODYS
            if word in CAUSES:  # the accounting may be behind in all that is no end
                rows.append((name, job, index.partition("+")[0], word, *more))
        self._take(rows)

    def _take(self, rows: Iterable[Sequence[str]]) -> None:
        """Keep what lines say of tasks of which nothing is known yet.

        A line about one task counts for more than a list, even a list of one: that may still name
        tasks that have begun. Who cancelled a job is known to the accounting alone.
        """
        parsed = [(parse(row[2]), row) for row in rows]
        for indices, row in sorted(parsed, key=lambda pair: not pair[1][2].isdecimal()):
            name, job, _, state, ended, node, reason, began = row
            for index in indices.listed:
                known = self.tasks.get((name, index))
                if known is None or (known.state, state) == ("CANCELLED", NOBODYS):
                    self.tasks[name, index] = ArrayTask(
                        f"{job}_{index}", state, _reason(reason), _node(node), _time(ended),
                        _time(began),
                    )  # fmt: skip
            if indices.onwards is not None:
                more = ArrayTask(job, state, _reason(reason), "", _time(ended))
                self.cut.setdefault(name, (indices.onwards, more))

    def job(self, attempt: Attempt) -> ArrayTask | None:
        """Return the task that executes `attempt`, None if none is known."""
        name, index = _key(attempt)
        if (task := self.tasks.get((name, index))) is not None:
            return task
        onwards, more = self.cut.get(name, (0, None))
        if more is not None and index >= onwards:
            return replace(more, job=f"{more.job}_{index}")
        waits = name in self.accounts and attempt.start is None
        if waits and self._would_know(attempt) and _quiet(attempt) > LOST_SECONDS:
            # Of a task that is cancelled alone while it waits, Slurm keeps no trace.
            return ArrayTask(f"{self.accounts[name]}_{index}", "CANCELLED", "", "", None)
        return None

    def open(self, attempt: Attempt) -> bool:
        """Whether Slurm may know better than the record: of some ends the job may come back."""
        if attempt.exit is None:
            return True
        may_come_back = attempt.exit.get("cause") in MAY_COME_BACK
        return may_come_back and cause_of(attempt.ending, WORDS) != "cancelled"

    def state(self, attempt: Attempt) -> str | None:
        """Say the state of an attempt; None where its own record stands.

        An attempt that ended is queued, or runs, if Slurm has put its job back into the queue.
        """
        if not self.open(attempt):
            return None
        task = self.job(attempt)
        if task is not None and task.alive:
            return "queued" if task.state in WAITING else "running"
        if attempt.exit is not None:
            return {"OUT_OF_MEMORY": "oom", "CANCELLED": "killed"}.get(self.word(attempt) or "")
        if attempt.start is not None and attempt.start.get("job") is None:
            return "lost"  # somebody began to write it off
        quiet = _quiet(attempt)
        if task is None:
            return "lost" if self._would_know(attempt) and quiet > LOST_SECONDS else None
        since = time.time() - task.ended if task.ended is not None else quiet
        if since < _settle_seconds():
            return None
        return CAUSES[self.word(attempt) or task.state]

    def _would_know(self, attempt: Attempt) -> bool:
        """Whether the queue answered, and would name the attempt's job if it waited or ran.

        It may tell us nothing about a colleague's jobs.
        """
        mine = (attempt.submission or {}).get("user") == getpass.getuser()
        return self.answered and mine

    def word(self, attempt: Attempt) -> str | None:
        """Return the state in which Slurm saw the attempt end, None if that adds nothing.

        A run that told its own cause is believed: its job, which others may share, ended later.
        Without control groups Slurm calls a job failed that it killed for want of memory; only the
        job's log tells the truth.
        """
        task = self.job(attempt)
        if task is None or task.alive or cancelled_by(attempt) is not None:
            return None
        word = task.state
        if word == "FAILED" and batch_of(attempt).lacked_memory(task.job):
            word = "OUT_OF_MEMORY"
        told = (attempt.exit or {}).get("cause", "preempted")
        return word if told == "preempted" or word in SAYS_MORE.get(told, ()) else None

    def why(self, attempt: Attempt) -> str:
        """Say in a sentence how an attempt ended that left no record."""
        task = self.job(attempt)
        if task is None:
            return "the scheduler does not know the job, and it shows no sign of life"
        where = f" on {task.node}" if task.node else ""
        word = self.word(attempt) or task.state
        if word == NOBODYS:
            told = f"Slurm says CANCELLED of job {task.job}{where}"
            return f"{told}, by nobody: its controller lost it"
        if task.state == "CANCELLED" and task.ended is None:
            return f"Slurm has the array of job {task.job} without it: cancelled while it waited"
        return f"Slurm says {word} of job {task.job}{where}; it left no record"


def ended_before(job: str) -> str:
    """Return the state in which the job's execution before this one ended, as the accounting says.

    ``REQUEUED`` if it does not say, which is all that is certain.
    """
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--duplicates"]
    try:
        answer = call(*command, f"--jobs={job}", "--format=State")
    except (Unreachable, Refused):
        return "REQUEUED"
    states = [line.split(" ")[0] for line in answer.splitlines()]
    if states and states[-1] not in (*CAUSES, "REQUEUED"):
        states.pop()  # that of the execution which asks
    return states[-1] if states and states[-1] in CAUSES else "REQUEUED"


def _settle_seconds() -> float:
    text = os.environ.get("STUDY_SETTLE_SECONDS")
    try:
        return SETTLE_SECONDS if text is None else float(text)
    except ValueError:
        raise StudyError(f"STUDY_SETTLE_SECONDS={text}: seconds are expected") from None


def _key(attempt: Attempt) -> tuple[str, int]:
    assert attempt.submission is not None
    return str(attempt.submission.get("token")), int(attempt.submission.get("index", -1))


def _quiet(attempt: Attempt) -> float:
    return time.time() - last_sign(attempt)


def _node(text: str) -> str:
    return "" if text in NO_NODE else text


def _reason(text: str) -> str:
    """Return why a job waits; empty if Slurm's word stands for no reason."""
    word = text.strip("()")
    return "" if word in NO_REASON else word


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:  # Unknown, N/A
        return None
