"""Evaluate a checkpoint, in a process that has the frameworks.

``python -m study.evaluate`` reads a JSON object with ``science``, ``checkpoint`` and ``device``,
and writes one with ``metrics``, ``published`` and ``notes``, or with ``error``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plugins.checkpoints import download
from plugins.job import CheckpointError
from study import data
from study.errors import StudyError, nearest
from study.folder import RunFolder
from study.run import Run

__all__ = ["evaluate"]

LAST_LINES = 20
"""Lines of a failed process that are looked through for what went wrong."""


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
        published as, or None; ``notes``, in which respects they are not comparable.

    Raises
    ------
    StudyError
        If the data set is not there, the checkpoint cannot be had or read, or is of another model.
    """
    data.verify(run.data)
    asked = {"science": run.science, "checkpoint": checkpoint, "device": device}
    # Where there is a GPU, MMEngine uses it unless it cannot see it.
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    last: deque[str] = deque(maxlen=LAST_LINES)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "study.evaluate"],
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
            process.stdin.write(json.dumps(asked))
            process.stdin.close()
            for line in process.stderr:
                if line.strip():
                    last.append(line.strip())
                    progress(line.strip())
            answer = process.stdout.read()
        except BaseException:  # the user has seen enough
            process.kill()
            raise
    if process.returncode:
        said = last[-1] if last else f"exit code {process.returncode}"
        raise StudyError(f"cannot evaluate {checkpoint}: {said}")
    found: dict[str, Any] = json.loads(answer)
    if "error" in found:
        raise StudyError(found["error"])
    return found


def _evaluate(science: dict[str, Any], checkpoint: str, device: str, scratch: Path) -> Any:
    from study.tasks import package_of, train_module
    from study.worker import job_of

    task, name = science["task"], f"{package_of(science['task'])}.published"
    index = importlib.import_module(name) if importlib.util.find_spec(name) else None
    source, entry = _source(checkpoint, index)
    module = train_module(task)
    if not hasattr(module, "evaluate"):
        raise StudyError(f"the task {task!r} does not evaluate checkpoints")
    if device == "cuda" and not importlib.import_module("torch").cuda.is_available():
        raise StudyError("the device is cuda, but torch finds no GPU")
    job = job_of(science, RunFolder(scratch), device)
    answer: dict[str, Any] = {"name": None, "published": {}, "notes": []}
    if index is not None and entry is not None:
        index.check(job, entry)
        answer["name"] = entry.name
        answer["published"], answer["notes"] = _comparable(job, index, entry)
    # Only now, since it may be a download.
    file = source if isinstance(source, Path) else download(source)
    return answer | {"metrics": module.evaluate(job, file)}


def _source(checkpoint: str, index: Any) -> tuple[Path | str, Any]:
    """Return a file or a URL, and what the task's index of published checkpoints has on it."""

    def published(word: str) -> Any:
        return index.find(word) if index else None

    path = Path(checkpoint).expanduser()
    if path.is_file():
        return path.resolve(), published(path.name)
    if "://" in checkpoint:
        return checkpoint, published(checkpoint.rpartition("/")[2])
    if (entry := published(checkpoint)) is not None:
        return entry.weights, entry
    if path.is_dir():
        raise StudyError(f"{checkpoint} is a folder; name a file in it, such as epoch_12.pth")
    if path.name != checkpoint or path.suffix in (".pt", ".pth") or index is None:
        raise StudyError(f"no such file: {checkpoint}")
    raise StudyError(
        f"no file and no published checkpoint {checkpoint!r}{nearest(checkpoint, index.names())}"
    )


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
    # See study.worker: nothing that a checkpoint names is called while it is read.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    asked = json.load(sys.stdin)
    # Frameworks greet on stdout, which belongs to the answer.
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as scratch:
        try:
            answer = _evaluate(**asked, scratch=Path(scratch))
        except (StudyError, CheckpointError) as error:
            answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
