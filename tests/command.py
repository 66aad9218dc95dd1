"""The command `study` as a user runs it, each call in a process of its own.

Python and what the command imports take most of a second. So a process imports them once and is
forked for each call, which has the environment, the folder and the arguments of a new one.
"""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

import study as package

__all__ = ["study"]

TESTS = Path(__file__).parent
PATIENCE = 600  # seconds
OTHERS = ("study.__main__", "study.benchmarks", "study.worker")
"""Modules that are no part of the command, or import a framework."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        module.name
        for module in pkgutil.walk_packages(package.__path__, "study.")
        if not module.name.startswith(OTHERS)
    ]
)


def study(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command; its output and exit code."""
    words = [*map(str, arguments)]
    environment = {"COLUMNS": "200"} | os.environ
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdout", "stderr")]
        call = _processes.Process(target=_run, args=(words, environment, streams))
        call.start()
        call.join(PATIENCE)
        if call.exitcode is None:
            call.kill()
            raise subprocess.TimeoutExpired(words, PATIENCE)
        printed = [stream.read_text() for stream in streams]
    return subprocess.CompletedProcess(words, call.exitcode, *printed)


def _run(words: list[str], environment: dict[str, str], streams: list[Path]) -> None:
    """Be ``python -m study``, in the folder that `multiprocessing` hands down."""
    os.environ.clear()
    os.environ.update(environment)
    for number, stream in enumerate(streams, 1):
        with stream.open("w") as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    given = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    installed = [path for path in sys.path if TESTS not in (Path(path), *Path(path).parents)]
    sys.path = [str(Path.cwd()), *given, *installed]
    sys.argv = ["study", *words]
    from study.cli import main

    main()
