"""One attempt at one run, in a process of its own: ``python -m study.worker FOLDER [ATTEMPT]``.

A launcher has made the attempt's folder and sent stdout and stderr there; without the number, by
hand, the worker takes the next attempt itself and writes to the terminal. What became of the
attempt is written to ``exit.json`` by this process whenever it still can; ``result.json`` comes
last of all.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plugins.attention.core.word import Word
from plugins.contracts.job import Job, Stopped
from plugins.contracts.tasks import find_task
from study import data
from study.errors import StudyError
from study.files import append_jsonl, write_json
from study.runs.attempt import Attempt, cancelled_by
from study.runs.folder import SCHEMA, RunFolder
from study.runs.provenance import provenance
from study.runs.run import science_hash

__all__ = ["job_of", "main"]

RANK = (("RANK", "0"), ("WORLD_SIZE", "1"))
"""torch's variables that say which of how many processes this is, and their defaults."""

CAUSE_OF_SIGNAL = {
    signal.SIGTERM: "preempted",
    signal.SIGINT: "preempted",  # a shell may have told its background jobs to ignore it
    signal.SIGUSR2: "timeout",
}
EXIT_CODES = {"completed": 0, "failed": 1, "oom": 1}
STOPPED_CODE = 143

STOP_SECONDS = 10.0
"""From the signal to the end at the latest. Slurm's KillWait, 30 s by default, must be longer."""


COMPANY_SECONDS = 2.0
"""In which the processes that train a run together are told to stop, one after the other."""


class _Stop:
    """Turns a signal into a wish, and the wish into an exception where nobody heeds it.

    A plugin that asks `wanted` between its steps leaves a checkpoint first. One that never asked,
    or does not ask again for `STOP_SECONDS`, is interrupted where it is.
    """

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world, self.number, self.asked = rank, world, 0, False

    @property
    def cause(self) -> str:
        """What a run that stops has ended by."""
        return CAUSE_OF_SIGNAL.get(signal.Signals(self.number or signal.SIGTERM), "preempted")

    def watch(self) -> None:
        """Listen from now on."""
        for number in CAUSE_OF_SIGNAL:
            signal.signal(number, self._told)
        signal.signal(signal.SIGALRM, self._interrupt)

    def ignore(self) -> None:
        """Listen no more: the record comes first."""
        for number in (*CAUSE_OF_SIGNAL, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)

    def wanted(self) -> bool:
        """Whether to leave a checkpoint and raise `Stopped`."""
        self.asked = True
        # Of several processes the first saves, and the others must keep it company until then.
        heeded = bool(self.number) and self.rank == 0
        if heeded:
            signal.setitimer(signal.ITIMER_REAL, 0)  # a checkpoint may take its time
        return heeded

    def comes(self) -> bool:
        """Whether a signal comes within a moment."""
        self.asked = True  # from here on it interrupts nothing
        time.sleep(COMPANY_SECONDS)
        return bool(self.number)

    def _told(self, number: int, frame: Any) -> None:
        if self.number:
            return  # the same wish again, from the scheduler and from the launcher
        self.number = number
        if not self.asked:
            raise Stopped
        signal.setitimer(signal.ITIMER_REAL, STOP_SECONDS)

    def _interrupt(self, number: int, frame: Any) -> None:
        raise Stopped


def main(arguments: list[str] | None = None) -> int:
    """Carry out the attempt and return the exit code."""
    # A checkpoint can name functions to be called on reading it, and MMEngine reads without torch's
    # list of harmless ones what that list forbids. With this, torch lets nobody read without it.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)  # with both it reads nothing at all
    parser = argparse.ArgumentParser(prog="python -m study.worker")
    parser.add_argument("folder", type=Path)
    parser.add_argument("attempt", type=int, nargs="?")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    folder = RunFolder(options.folder.resolve())
    if options.attempt is None:
        attempt = _by_hand(folder)
    else:
        n = options.attempt
        attempt = Attempt(n, folder.path / "attempts" / str(n))
    started, error = time.time(), None
    rank, world = (int(os.environ.get(name, value)) for name, value in RANK)
    stop = _Stop(rank, world)
    try:
        stop.watch()
        _attempt(folder, attempt, options.device, started, stop)
        cause = "completed"
    except Stopped:
        cause = stop.cause
    except BaseException as raised:
        traceback.print_exc()
        # Whom the others have left because they were told to stop, is told in this moment too.
        if stop.number or (stop.world > 1 and stop.comes()):
            cause = stop.cause
        else:
            cause, error = "oom" if _out_of_memory(raised) else "failed", raised
    stop.ignore()
    code = EXIT_CODES.get(cause, STOPPED_CODE)
    told, trace = "", ""
    if error is not None:
        told = f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
    elif code == STOPPED_CODE and (who := cancelled_by(attempt)):
        cause, told = "killed", f"cancelled by {who}"
    if rank == 0 or error is not None:
        attempt.end(cause, code, started, told, trace)
    return code


def _by_hand(folder: RunFolder) -> Attempt:
    """Take the next attempt; end the program with a sentence if it cannot be had."""
    try:
        attempt = folder.claim()
    except StudyError as error:
        sys.exit(f"error: {error}")
    if attempt is None:
        sys.exit(f"error: {folder.path.name} is {folder.condition()}: nothing to do by hand")
    attempt.submit("by hand", os.getpid())
    return attempt


def _out_of_memory(error: BaseException) -> bool:
    # By name, since torch may not even have been imported.
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _attempt(folder: RunFolder, attempt: Attempt, device: str, started: float, stop: _Stop) -> None:
    run = folder.run
    if run is None:
        raise StudyError(f"{folder.path}: no run.json")
    science = run["science"]
    if science_hash(science) != run["hash"]:
        raise StudyError(f"{folder.path / 'run.json'} was edited: its hash is not that of science")
    task = find_task(science["task"])
    version = task.version
    if science["version"] != version:
        raise StudyError(
            f"{folder.path}: made for version {science['version']} of the task {science['task']!r},"
            f" this is version {version}; plan the grid again to get new runs"
        )
    recipe = task.Recipe.model_validate(science["recipe"])
    versions = task.versions(Word.parse(science["mechanism"]), recipe)
    if science.get("mechanisms", {}) != versions:
        raise StudyError(
            f"{folder.path}: made for other versions of its mechanisms"
            f" ({science.get('mechanisms', {})}, here {versions}); plan the grid again to get new"
            " runs"
        )
    data.verify(science["recipe"]["data"])
    successor = attempt.path.with_name(str(attempt.n + 1))

    def check_place() -> None:
        """Stop a process that was given up for lost, perhaps cut off from the scheduler."""
        if successor.exists():
            raise Stopped(f"attempt {successor.name} has taken the place of this one")

    job = job_of(science, folder, device, check_place, stop.wanted)
    if job.rank:
        task.train(job)
        return
    write_json(folder.path / "provenance.json", provenance(science["recipe"]["data"], device))
    cost = task.cost(job).to_json()
    task.train(job)
    check_place()
    _write_result(folder, run, attempt.n, device, cost, started)


def job_of(
    science: dict[str, Any],
    folder: RunFolder,
    device: str,
    check_place: Callable[[], None] = lambda: None,
    stopping: Callable[[], bool] = lambda: False,
    data_folder: Path | None = None,
) -> Job:
    """Return what the task's plugin needs to carry out a science configuration.

    `check_place` is called before each record, and may raise; `data_folder` is where the data set
    is, the place that the recipe's name stands for if None.
    """
    recipe = find_task(science["task"]).Recipe.model_validate(science["recipe"])
    rank, world = (int(os.environ.get(name, value)) for name, value in RANK)

    def record(split: str, **values: Any) -> None:
        if rank:
            return
        check_place()
        append_jsonl(
            folder.path / "metrics.jsonl", {"split": split, "time": round(time.time(), 3), **values}
        )

    def recorded(split: str) -> list[dict[str, Any]]:
        return [line for line in folder.metrics if line["split"] == split]

    return Job(
        mechanism=Word.parse(science["mechanism"]),
        sites=tuple(science["sites"]),
        seed=science["seed"],
        recipe=recipe,
        data=data_folder or data.path(science["recipe"]["data"]),
        folder=folder.path,
        device=device,
        record=record,
        recorded=recorded,
        rank=rank,
        world=world,
        stopping=stopping,
    )


def _peak_memory() -> int:
    """Return the largest resident set of this program so far, in bytes (Linux).

    Not ``ru_maxrss``: it survives ``exec``, so that it begins at the size of the worker's parent.
    """
    status = Path("/proc/self/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return 1024 * int(fields["VmHWM"].split()[0])


def _write_result(
    folder: RunFolder,
    run: dict[str, Any],
    attempt: int,
    device: str,
    cost: dict[str, Any],
    started: float,
) -> None:
    lines = folder.metrics
    of_split = {split: [line for line in lines if line["split"] == split] for split in _SPLITS}
    missing = [split for split in ("train", "val") if not of_split[split]]
    if missing:
        raise StudyError(f"{folder.path}: the task recorded no {missing[0]} metrics")
    earlier = [a.exit.get("seconds", 0) for a in folder.attempts if a.n < attempt and a.exit]
    memory = {"peak_memory_bytes": _peak_memory()}
    torch = sys.modules.get("torch")
    if device == "cuda" and torch is not None:
        memory["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated()
    write_json(
        folder.path / "result.json",
        {
            "schema": SCHEMA,
            "id": run["id"],
            "hash": run["hash"],
            "metric": find_task(run["science"]["task"]).metrics[0].name,
            "metrics": _values(of_split["val"][-1]),
            "untrained": _values(of_split["untrained"][0]) if of_split["untrained"] else {},
            "loss": {
                "first": of_split["train"][0]["loss"],
                "last": of_split["train"][-1]["loss"],
            },
            "cost": cost,
            "seconds": round(sum(earlier) + time.time() - started, 3),
            **memory,
            "attempts": attempt,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


_SPLITS = ("untrained", "train", "val")


def _values(line: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics in a line of metrics.jsonl."""
    return {key: value for key, value in line.items() if key not in _BOOKKEEPING}


_BOOKKEEPING = {"split", "time", "step", "epoch"}
