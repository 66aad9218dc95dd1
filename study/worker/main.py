"""One attempt at one run, in a process of its own: ``python -m study.worker FOLDER [ATTEMPT]``.

A launcher has made the attempt's folder and sent stdout and stderr there; without the number, by
hand, the worker takes the next attempt itself and writes to the terminal. What became of the
attempt is written to ``exit.json`` by this process whenever it still can; ``result.json`` comes
last of all.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from pathlib import Path

from plugins.attention.core.word import Word
from plugins.contracts.job import Stopped
from plugins.contracts.tasks import find_task
from study import data
from study.data import weights
from study.errors import StudyError
from study.files import write_json
from study.runs.attempt import Attempt, cancelled_by
from study.runs.contents import check_same_data
from study.runs.folder import RunFolder
from study.runs.provenance import provenance
from study.runs.run import science_hash
from study.worker import device as devices
from study.worker.job import job_of, rank_and_world
from study.worker.parent import read_weights_only
from study.worker.probe import probe_all
from study.worker.result import out_of_memory, write_result
from study.worker.stop import Stop

__all__ = ["main"]

EXIT_CODES = {"completed": 0, "failed": 1, "oom": 1}
STOPPED_CODE = 143


def main(arguments: list[str] | None = None) -> int:
    """Carry out the attempt and return the exit code."""
    read_weights_only()
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
    rank, world = rank_and_world()
    stop = Stop(rank, world)
    try:
        stop.watch()
        _attempt(folder, attempt, options.device, started, stop)
        cause = "completed"
    except Stopped:
        cause = stop.cause
    except BaseException as raised:
        traceback.print_exc()
        if stop.explains_error():
            cause = stop.cause
        else:
            cause, error = "oom" if out_of_memory(raised) else "failed", raised
    stop.ignore()
    code = EXIT_CODES.get(cause, STOPPED_CODE)
    told, trace = "", ""
    if error is not None:
        told = f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
    elif code == STOPPED_CODE and (who := cancelled_by(attempt)):
        cause, told = "killed", f"cancelled by {who}"
    if rank == 0 or error is not None:
        try:
            attempt.end(cause, code, started, told, trace)
        except OSError as lost:  # the launcher tries once more; here the log is all that is left
            print(f"the end of this attempt, {cause}, was not recorded: {lost}", file=sys.stderr)
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


def _attempt(folder: RunFolder, attempt: Attempt, device: str, started: float, stop: Stop) -> None:
    run = folder.run
    if run is None:
        raise StudyError(f"{folder.path}: no run.json")
    science = run["science"]
    if science_hash(science) != run["hash"]:
        raise StudyError(f"{folder.path / 'run.json'} was edited: its hash is not that of science")
    if "probes" in science:
        probe_all(folder, attempt.n, device, started)
        return
    task = find_task(science["task"])
    version = task.version
    if science["version"] != version:
        raise StudyError(
            f"{folder.path}: made for version {science['version']} of the task {science['task']!r},"
            f" this is version {version}; plan the grid again to get new runs"
        )
    recipe = task.Recipe.model_validate(science["recipe"])
    gpu = devices.use(device, recipe)
    versions = task.versions(Word.parse(science["mechanism"]), recipe)
    if science.get("mechanisms", {}) != versions:
        raise StudyError(
            f"{folder.path}: made for other versions of its mechanisms"
            f" ({science.get('mechanisms', {})}, here {versions}); plan the grid again to get new"
            " runs"
        )
    data.verify(recipe.data)
    check_same_data(folder, recipe.data)
    if (items := data.training_items(recipe.data)) is not None:
        recipe.check_items(items)
    weights.fetch(weights.of(science), (), print)
    successor = attempt.path.with_name(str(attempt.n + 1))

    def check_current() -> None:
        """Stop if this attempt was taken for lost, as one cut off from the scheduler is."""
        if successor.exists():
            raise Stopped(f"attempt {successor.name} has taken the place of this one")

    job = job_of(science, folder, device, check_current, stop.wanted)
    if job.rank:
        task.train(job)
        return
    write_json(folder.path / "provenance.json", provenance(science, device, gpu))
    cost = task.cost(job).to_json()
    task.train(job)
    check_current()
    write_result(folder, run, attempt.n, device, cost, started)
