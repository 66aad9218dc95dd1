"""The process that warm workers are forked from: ``python -m study.worker.nursery TASK``.

It imports a task's framework once, which takes seconds, and then forks a worker for each attempt
that it is told of. It calculates nothing itself: libraries start their threads, and CUDA its
context, with the first calculation, and neither survives a fork. So a worker starts from the state
of a process that has just imported the framework, whatever the workers before it did.

Requests and answers are lines of JSON on stdin and stdout, one answer a request, after a greeting
that says whether workers can be forked at all. When stdin ends, so does this process; workers that
still run go on.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn, TextIO

from plugins.contracts.tasks import find_task
from study.worker import main as worker

__all__ = ["main"]

GPU_MEMORY = "/dev/nvidia-uvm"
"""What a process has open once it has a CUDA context."""


def main(task: str) -> None:
    """Serve until stdin ends."""
    requests, answers = _take_stdio()
    channels = [requests.fileno(), answers.fileno()]
    _answer(answers, {"obstacle": _import(task)})
    gc.collect()
    gc.freeze()  # collections in a worker need not touch, and so copy, what all share
    for line in requests:
        request = json.loads(line)
        if "poll" in request:
            _answer(answers, {"code": _poll(request["poll"])})
            continue
        pid = os.fork()
        if pid == 0:
            _work(channels, **request)
        # As in the child: whichever comes first, the group exists when the pid is told.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        _answer(answers, {"pid": pid})


def _take_stdio() -> tuple[TextIO, TextIO]:
    """Return the two ends of the conversation, away from where frameworks print and read."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return requests, answers


def _answer(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


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
    channels: list[int],
    arguments: list[str],
    stdout: str,
    stderr: str,
    environment: dict[str, str],
) -> NoReturn:
    """Become the worker of an attempt, as ``python -m study.worker`` does."""
    code = 1
    try:
        for descriptor in channels:  # so that the launcher notices when this process's parent dies
            os.close(descriptor)
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


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)  # a thread that some import started must not keep it
