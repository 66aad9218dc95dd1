"""The process that warm workers are forked from, a child of the launcher.

It imports a task's framework once, which takes seconds, and then forks a worker for each attempt
that it is told of. It calculates nothing itself: libraries start their threads, and CUDA its
context, with the first calculation, and neither survives a fork. So a worker starts from the state
of a process that has just imported the framework, whatever the workers before it did.

It is told the task, and answers whether workers can be forked at all. Then it answers one request
after the other. When it ends, workers that still run go on.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from plugins.contracts.tasks import find_task
from study.worker import main as worker
from study.worker.parent import Parent

__all__ = ["serve"]

GPU_MEMORY = "/dev/nvidia-uvm"
"""What a process has open once it has a CUDA context."""


def serve(parent: Parent) -> None:
    """Serve until the parent hangs up."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing to clean up; workers inherit this
    parent.tell(_import(parent.hear()))
    gc.collect()
    gc.freeze()  # a collection in a worker would touch, and so copy, shared pages
    while True:
        request = parent.hear()
        if "poll" in request:
            parent.tell(_poll(request["poll"]))
            continue
        pid = os.fork()
        if pid == 0:
            _work(parent, **request)
        # The worker does the same. Its group must exist before the launcher knows its pid.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        parent.tell(pid)


def _import(task: str) -> str | None:
    """Import the framework; return why no worker can be forked afterwards, None if it can."""
    try:
        find_task(task).preload()
    except BaseException as error:
        # A worker from scratch meets the same error, and says so where the user looks.
        return f"{type(error).__name__}: {error}"
    if (threads := len(list(Path("/proc/self/task").iterdir()))) > 1:
        return f"importing {task} started {threads - 1} threads"
    if any(os.path.realpath(file) == GPU_MEMORY for file in Path("/proc/self/fd").iterdir()):
        return f"importing {task} initialised CUDA"
    return None


def _poll(pid: int) -> int | None:
    """Return a worker's exit code, or the negative number of its signal; None while it lives."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _work(
    parent: Parent,
    arguments: list[str],
    stdout: str,
    stderr: str,
    environment: dict[str, str],
) -> NoReturn:
    """Become the worker of an attempt, as ``python -m study.worker`` does."""
    code = 1
    try:
        parent.leave()
        os.setpgid(0, 0)
        for descriptor, path in ((1, stdout), (2, stderr)):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.dup2(opened, descriptor)
            os.close(opened)
        os.environ.update(environment)
        sys.argv = [str(worker.__file__), *arguments]
        code = worker.main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        # A framework's threads or data-loader workers must not keep a finished run from ending.
        os._exit(code)
