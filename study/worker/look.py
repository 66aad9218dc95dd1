"""Look into the attention of a trained run, in a process that has its framework.

``python -m study.worker.look FOLDER OUT SOURCE [--query X,Y]`` writes arrays into OUT (.npz).
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from plugins.contracts.task import Looks
from plugins.contracts.tasks import find_task
from study.errors import StudyError
from study.runs.folder import RunFolder

__all__ = ["look"]


def look(folder: RunFolder, source: str, query: tuple[int, int] | None, out: Path) -> None:
    """Write what the task's ``look`` returns into the file `out`.

    Parameters
    ----------
    folder: RunFolder
        A run with at least one checkpoint.
    source: str
        An image file, or a sentence.
    query: tuple of int, optional
        Column and row of a pixel; for images only.
    out: Path
        A ``.npz`` file.

    Raises
    ------
    StudyError
        If the plugin could not look; its message says why.
    """
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "study.worker.look",
        str(folder.path),
        str(out),
    ]
    command += ["--query", f"{query[0]},{query[1]}"] if query else []
    done = subprocess.run([*command, "--", source], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise StudyError(lines[-1] if done.returncode == 2 and lines else done.stderr.strip())


def _main() -> None:
    import numpy as np

    from study.worker.main import job_of

    parser = argparse.ArgumentParser(prog="python -m study.worker.look")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("source")
    parser.add_argument("--query")
    options = parser.parse_args()
    folder = RunFolder(options.folder)
    run = folder.run
    assert run is not None
    query = _pixel(options.query) if options.query else None
    task = find_task(run["science"]["task"])
    if not isinstance(task, Looks):
        raise StudyError(f"the task {task.name!r} cannot show where a model looks")
    with contextlib.redirect_stdout(sys.stderr):
        arrays: dict[str, Any] = task.look(
            job_of(run["science"], folder, "cpu"), options.source, query
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.out, **arrays)


def _pixel(text: str) -> tuple[int, int]:
    column, row = map(int, text.split(","))
    return column, row


if __name__ == "__main__":
    try:
        _main()
    except (StudyError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
