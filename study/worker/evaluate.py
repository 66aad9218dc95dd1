"""Evaluate a checkpoint, in a process that has the frameworks.

``python -m study.worker.evaluate`` reads a line of JSON, an object with ``science``, ``checkpoint``
and ``device``, and writes one with what :func:`evaluate` returns, or with ``error``. It ends when
its standard input does.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlparse

from plugins.contracts.job import CheckpointError
from plugins.training.checkpoints import check_whole, download, few
from study import data
from study.errors import StudyError, nearest
from study.runs.folder import RunFolder
from study.runs.run import Run, differences

__all__ = ["evaluate"]

GRACE_SECONDS = 5.0
"""In which the process that evaluates cleans up, once nobody waits for it any more."""


def evaluate(
    run: Run,
    checkpoint: str,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Return what the run's model reaches with the weights of a checkpoint. Writes no run.

    Parameters
    ----------
    run: Run
        Its seed does not matter.
    checkpoint: str
        A file, a URL, or a name that the task knows, such as those of MMDetection's model index. A
        download stays in torch's cache.
    device: str
        ``cpu`` or ``cuda``.
    progress: callable
        Given each line that the framework prints meanwhile.

    Returns
    -------
    dict
        ``metrics`` as in the run's ``val`` records; ``published``, the metrics that were published
        for this checkpoint and this data, by name, empty if there are none; ``name``, what it was
        published as, or None; ``notes``, in which respects they are not comparable; ``trained``,
        of a checkpoint in a run's folder, ``key: then -> now`` for all in which that run and this
        one differ but the seed.

    Raises
    ------
    StudyError
        If the data set is not there, the checkpoint cannot be had or read, or is of another model.
    """
    data.verify(run.data)
    asked = {"science": run.science, "checkpoint": checkpoint, "device": device}
    # Where there is a GPU, MMEngine uses it unless it cannot see it.
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    last = ""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "study.worker.evaluate"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=os.environ | hidden,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it ended already, and has said why
                process.stdin.write(json.dumps(asked) + "\n")
                process.stdin.flush()
            for line in process.stderr:
                if line.strip():
                    last = line.strip()
                    progress(last)
            answer = process.stdout.read()
        except BaseException:  # the user has seen enough
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
            process.kill()
            raise
    if process.returncode:
        raise StudyError(f"cannot evaluate {checkpoint}: {_end(process.returncode, last)}")
    found: dict[str, Any] = json.loads(answer)
    if "error" in found:
        raise StudyError(found["error"])
    return found


def _end(code: int, last: str) -> str:
    if code > 0:
        return last or f"exit code {code}"
    memory = ", as Linux and Slurm do for want of memory" if -code == signal.SIGKILL else ""
    return f"its process was ended by {signal.Signals(-code).name}{memory}"


def _evaluate(science: dict[str, Any], checkpoint: str, device: str, scratch: Path) -> Any:
    from plugins.contracts.task import Evaluates, Publishes
    from plugins.contracts.tasks import find_task
    from study.worker.main import job_of

    task = find_task(science["task"])
    index = task.published() if isinstance(task, Publishes) else None
    source, entry = _source(checkpoint, index)
    if not isinstance(task, Evaluates):
        raise StudyError(f"the task {task.name!r} does not evaluate checkpoints")
    if device == "cuda" and not importlib.import_module("torch").cuda.is_available():
        raise StudyError("the device is cuda, but torch finds no GPU")
    job = job_of(science, RunFolder(scratch), device)
    answer: dict[str, Any] = {"name": None, "published": {}, "notes": []}
    if index is not None and entry is not None:
        index.check(job, entry)
        answer["name"] = entry.name
        answer["published"], answer["notes"] = _comparable(job, index, entry)
    if isinstance(source, str):  # only now, since it may be a download
        print(f"looking for {source} in torch's cache, else downloading it")
        source = download(source)
    check_whole(source)
    grid, trained, answer["trained"] = _trained(source, science)
    if trained not in ("", task.name):
        raise StudyError(f"{source} is of a run of {grid}, which is {trained}, not {task.name}")
    try:
        return answer | {"metrics": task.evaluate(job, source)}
    except CheckpointError as error:
        if not answer["trained"]:
            raise
        raise StudyError(
            f"{error}. Its run is of the grid {grid}, and differs from what was asked for in"
            f" {few(answer['trained'])}"
        ) from None


def _source(checkpoint: str, index: Any) -> tuple[Path | str, Any]:
    """Return a file or a URL, and what the task's index of published checkpoints has on it."""

    def published(word: str) -> Any:
        return index.find(word) if index else None

    if "://" in checkpoint:
        return checkpoint, published(Path(urlparse(checkpoint).path).name)
    try:
        path = Path(checkpoint).expanduser()
        if path.is_file():
            return path.resolve(), published(path.name)
        if (entry := published(checkpoint)) is not None:
            return entry.weights, entry
        if path.is_dir():
            raise StudyError(f"{checkpoint} is a folder; name a file in it{_such_as(path)}")
        if path.exists():
            raise StudyError(f"{checkpoint} is no ordinary file; write it to one first")
    except (OSError, RuntimeError) as error:  # the latter of a user without a home
        reason = getattr(error, "strerror", None) or error
        raise StudyError(f"{checkpoint} cannot be read: {reason}") from None
    if path.name != checkpoint or path.suffix in (".pt", ".pth"):
        raise StudyError(f"no such file: {checkpoint}")
    if index is None:
        raise StudyError(f"no such file: {checkpoint}; the task knows no published checkpoints")
    raise StudyError(
        f"no file and no published checkpoint {checkpoint!r}{nearest(checkpoint, index.names())}"
    )


def _such_as(folder: Path) -> str:
    """Return ``, such as FILE`` for the newest checkpoint in a run's folder, or another."""
    files = [f for place in (".", "checkpoints") for f in (folder / place).glob("*.pt*")]
    return f", such as {max(files, key=lambda file: file.stat().st_mtime)}" if files else ""


def _trained(checkpoint: Path, science: dict[str, Any]) -> tuple[str, str, list[str]]:
    """Return grid and task of the run that a checkpoint is of, and in what it differs."""
    try:
        run = RunFolder(checkpoint.parent.parent).run
    except (StudyError, OSError):
        run = None  # it was only to help
    if run is None or not isinstance(run["science"], dict):
        return "", "", []
    then = {**run["science"], "seed": science["seed"]}
    lines = sorted(differences(then, science), key=lambda line: line.startswith("recipe."))
    return run["grid"], str(then.get("task", "")), lines


def _comparable(job: Any, index: Any, entry: Any) -> tuple[dict[str, float], list[str]]:
    """Return the published metrics, and in which respects ours are not of the same."""
    name = job.recipe.data
    if name != entry.data:
        return {}, []
    notes = index.otherwise_evaluated(job, entry)
    if other := data.card(name)["not_comparable_with"]:
        notes.append(f"the data set is a part of {other}")
    return entry.metrics, notes


def _main() -> None:
    # See study.worker.main: nothing that a checkpoint names is called while it is read.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    signal.signal(signal.SIGTERM, _end_in_order)
    # Frameworks greet on stdout, which belongs to the answer; libraries in C know it by its number.
    with os.fdopen(os.dup(1), "w") as answers, contextlib.redirect_stdout(sys.stderr):
        os.dup2(2, 1)
        asked = json.loads(sys.stdin.readline())
        threading.Thread(target=_end_with_parent, daemon=True).start()
        try:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
                answer = _evaluate(**asked, scratch=Path(scratch))
        except (StudyError, CheckpointError) as error:
            answer = {"error": str(error)}
        except Exception as error:
            traceback.print_exc()
            reason = f"{type(error).__name__}: {error}"
            answer = {"error": f"cannot evaluate {asked['checkpoint']}: {reason}"}
        json.dump(answer, answers)


def _end_in_order(number: int, frame: Any) -> NoReturn:
    sys.exit(128 + number)


def _end_with_parent() -> None:
    """End this process when the one that holds the other end of its standard input is gone.

    A signal that ends that one alone may be one that nobody can handle.
    """
    os.read(0, 1)  # nothing comes but the end
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    _main()
