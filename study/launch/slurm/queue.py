"""What the scheduler knows of attempts: one ``squeue`` and one ``sacct``, however many there are.

Jobs are found by name, which is a token that no other submission has: an id may be given again, and
is not known at all when the answer to ``sbatch`` was lost.
"""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from study.errors import StudyError
from study.launch.retries import cause_of
from study.launch.slurm.batch import batch_of
from study.launch.slurm.command import Refused, Unreachable, call
from study.runs.attempt import Attempt, cancelled_by

__all__ = ["CAUSES", "Queue", "Task", "ended_before", "is_open", "last_sign", "preempted"]

WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
"""States of a job that will be started, or could be; ``RUNNING`` and all that nobody foresaw count
as running."""

CAUSES = {
    "COMPLETED": "killed",
    "FAILED": "killed",  # an error of the training is recorded by who meets it
    "CANCELLED": "killed",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "PREEMPTED": "preempted",
    "OUT_OF_MEMORY": "oom",
    "NODE_FAIL": "killed",
    "BOOT_FAIL": "killed",
    "REVOKED": "killed",
    "LAUNCH_FAILED": "killed",
}
"""The terminal states, and the cause of an attempt that ended so without a record of its own."""

LOST_SECONDS = 600.0
"""So long an attempt may be unknown to a scheduler that answers, and show no sign of life."""

SETTLE_SECONDS = 60.0
"""So long a record may take from a compute node to here (NFS keeps attributes for up to a minute).
``STUDY_SETTLE_SECONDS`` replaces it."""

SAYS_MORE = {"killed": ("OUT_OF_MEMORY", "NODE_FAIL")}
"""What Slurm can know of an end beyond the cause that was recorded."""

MAY_COME_BACK = ("preempted", "timeout", "killed")
"""Ends after which Slurm may start the same job again."""


@dataclass(frozen=True)
class Task:
    """A task of a job array, as Slurm shows it."""

    job: str
    state: str
    reason: str
    node: str
    ended: float | None

    @property
    def alive(self) -> bool:
        """Whether it waits or runs. What is not known to be an end is none."""
        return self.state not in CAUSES


@dataclass
class Queue:
    """The tasks of the arrays that some attempts belong to.

    Attributes
    ----------
    tasks: dict
        By name of the array and index.
    trouble: list of str
        What could not be asked, in the scheduler's words.
    answered: bool
        Whether ``squeue`` answered: only then is an unknown task one that is gone.
    """

    tasks: dict[tuple[str, int], Task] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)
    answered: bool = False

    @classmethod
    def ask(cls, attempts: Iterable[Attempt]) -> Queue:
        """Ask for all that may still change; no call at all if nothing may."""
        queue = cls()
        open_ = [attempt for attempt in attempts if is_open(attempt)]
        wanted = {_key(attempt) for attempt in open_}
        if not wanted:
            return queue
        since = min(attempt.submission["time"] for attempt in open_ if attempt.submission)
        names = sorted({name for name, _ in wanted})
        queue.read_squeue(names)
        unknown = sorted({name for name, index in wanted if (name, index) not in queue.tasks})
        if unknown:
            queue.read_sacct(unknown, since)
        return queue

    def read_squeue(self, names: list[str]) -> None:
        """Take what waits or runs, and what ended so lately that the controller remembers it."""
        command = ["squeue", "--all", "--noheader", "--array", "--states=all"]
        command.append(f"--name={','.join(names)}")
        try:
            answer = call(*command, "--format=%j|%F|%K|%T|%e|%N|%r")
        except (Unreachable, Refused) as error:
            self.trouble.append(str(error))
            return
        self.answered = True
        for line in answer.splitlines():
            name, job, index, state, ended, node, reason = [*line.strip().split("|", 6), *[""] * 7][
                :7
            ]
            if not index.isdecimal():
                continue  # an abbreviated list, or a job that is no array: none of ours
            task = Task(f"{job}_{index}", state, reason, node, _time(ended))
            self.tasks[name, int(index)] = task

    def read_sacct(self, names: list[str], since: float) -> None:
        """Take what the accounting knows of tasks that the controller has forgotten."""
        start = datetime.fromtimestamp(since - 3600).isoformat(timespec="seconds")
        command = ["sacct", "--noheader", "--parsable2", "--allocations", "--allusers"]
        # Without an end in the future a job that waits again would be shown as it ended before.
        command += [f"--starttime={start}", "--endtime=now+1hour", f"--name={','.join(names)}"]
        try:
            answer = call(*command, "--format=JobName,JobID,State,End,NodeList,Reason")
        except (Unreachable, Refused) as error:
            self.trouble.append(str(error))
            return
        for line in answer.splitlines():
            name, job, state, ended, node, reason = [*line.split("|"), *[""] * 6][:6]
            index = job.partition("_")[2]
            if not index.isdecimal() or (name, int(index)) in self.tasks:
                continue
            state = state.split(" ")[0].rstrip("+")  # "CANCELLED by 1000"
            if state in CAUSES:  # the accounting may be behind in all that is no end
                self.tasks[name, int(index)] = Task(job, state, reason, node, _time(ended))

    def task(self, attempt: Attempt) -> Task | None:
        """Return the task that executes `attempt`, None if none is known."""
        return self.tasks.get(_key(attempt)) if attempt.by_slurm else None

    def state(self, attempt: Attempt) -> str | None:
        """Say the state of an attempt; None where its own record stands.

        An attempt that ended is queued, or runs, if Slurm has put its job back into the queue.
        """
        if not is_open(attempt):
            return None
        task = self.task(attempt)
        if task is not None and task.alive:
            return "queued" if task.state in WAITING else "running"
        if attempt.exit is not None:
            return {"OUT_OF_MEMORY": "oom", "CANCELLED": "killed"}.get(self.word(attempt) or "")
        if attempt.start is not None and attempt.start.get("job") is None:
            return "lost"  # written off, by somebody who could not finish the sentence
        quiet = time.time() - last_sign(attempt)
        if task is None:
            # Of a colleague's jobs the scheduler may tell us nothing.
            mine = attempt.submission and attempt.submission.get("user") == getpass.getuser()
            return "lost" if mine and self.answered and quiet > LOST_SECONDS else None
        since = time.time() - task.ended if task.ended is not None else quiet
        if since < _settle_seconds():
            return None
        return CAUSES[self.word(attempt) or task.state]

    def word(self, attempt: Attempt) -> str | None:
        """Return the state in which Slurm saw the attempt end, None if that adds nothing.

        A run that told its own cause is believed: its job, which may be that of others too, ended
        later. Without control groups Slurm calls a job failed that it killed for want of memory,
        and tells the truth in its log.
        """
        task = self.task(attempt)
        if task is None or task.alive or cancelled_by(attempt) is not None:
            return None
        word = task.state
        if word == "FAILED" and batch_of(attempt).lacked_memory(task.job):
            word = "OUT_OF_MEMORY"
        told = (attempt.exit or {}).get("cause", "preempted")
        return word if told == "preempted" or word in SAYS_MORE.get(told, ()) else None

    def settle(self, attempt: Attempt, state: str) -> bool:
        """Record what the scheduler knows of the end of an attempt; False if it has not ended.

        `state` is what `state`, or the attempt's record, says of it.
        """
        word = self.word(attempt)
        if attempt.exit is None:
            more = {"scheduler": word} if word else {}
            task = self.task(attempt)
            ended = task.ended if task and task.ended else last_sign(attempt)
            return attempt.write_off(state, self.why(attempt), ended, **more)
        if word and "scheduler" not in attempt.ending:
            attempt.note(word)
        return True

    def why(self, attempt: Attempt) -> str:
        """Say in a sentence how an attempt ended that left no record."""
        task = self.task(attempt)
        if task is None:
            return "the scheduler does not know the job, and it shows no sign of life"
        where = f" on {task.node}" if task.node else ""
        word = self.word(attempt) or task.state
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


def preempted(job: str) -> bool:
    """Whether a running job is to make room for another one; False where Slurm does not answer."""
    try:
        answer = call("scontrol", "--oneliner", "show", "job", job)
    except (Unreachable, Refused):
        return False
    fields = dict(word.split("=", 1) for word in answer.split() if "=" in word)
    told = fields.get("PreemptTime", "None") != "None"
    return told and fields.get("JobState") == "RUNNING"


def last_sign(attempt: Attempt) -> float:
    """Return when the attempt last showed that it lives, in seconds since the epoch."""
    folder = attempt.path.parents[1]
    records = [attempt.submission or {}, attempt.start or {}]
    signs = [float(record["time"]) for record in records if "time" in record]
    for path in (folder / "metrics.jsonl", folder / "train.log", attempt.path / "stdout"):
        if attempt.start is not None and path.exists():
            signs.append(path.stat().st_mtime)
    return max(signs, default=0.0)


def _settle_seconds() -> float:
    text = os.environ.get("STUDY_SETTLE_SECONDS")
    try:
        return SETTLE_SECONDS if text is None else float(text)
    except ValueError:
        raise StudyError(f"STUDY_SETTLE_SECONDS={text}: seconds are expected") from None


def is_open(attempt: Attempt) -> bool:
    """Whether the scheduler may know better than the record."""
    if not attempt.by_slurm or attempt.exit is None:
        return attempt.by_slurm
    return attempt.exit.get("cause") in MAY_COME_BACK and cause_of(attempt.ending) != "cancelled"


def _key(attempt: Attempt) -> tuple[str, int]:
    assert attempt.submission is not None
    return str(attempt.submission.get("token")), int(attempt.submission.get("index", -1))


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:  # Unknown, N/A
        return None
