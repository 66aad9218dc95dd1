"""The child's side of :mod:`study.worker.child`: ``python -m study.worker.parent FUNCTION PID``."""

from __future__ import annotations

import ctypes
import io
import json
import os
import pkgutil
import signal
import sys
import traceback
import warnings
from typing import Any, NoReturn, cast

from study.errors import StudyError

__all__ = ["GRACE_SECONDS", "Parent", "answer", "main", "read_weights_only"]

GRACE_SECONDS = 5.0
"""Time to clean up for a child that is told to end."""

PR_SET_PDEATHSIG = 1
"""In ``sys/prctl.h``: sets the signal that comes when the thread that started this one ends."""


class Parent:
    """The process that started this one."""

    def __init__(self) -> None:
        # Libraries, those in C among them, read and print on descriptors 0 and 1.
        self._requests = os.fdopen(os.dup(0), encoding="utf-8")
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        cast(io.TextIOWrapper, sys.stdout).reconfigure(line_buffering=True)

    def hear(self) -> Any:
        """Wait for the next request; end this process if there is none to come."""
        line = self._requests.readline()
        if not line.endswith("\n"):
            sys.exit()
        return json.loads(line)

    def tell(self, answer: Any) -> None:
        """Send an answer."""
        self.send(answer=answer)

    def send(self, **line: Any) -> None:
        """Send a line of the protocol: an answer, or why there is none."""
        self._answers.write(json.dumps(line) + "\n")
        self._answers.flush()

    def leave(self) -> None:
        """Give up the conversation, in a fork of this process that goes its own way."""
        self._requests.close()
        self._answers.close()


def answer(parent: Parent) -> None:
    """Call the function that the parent asks for."""
    warnings.simplefilter("ignore")
    asked = parent.hear()
    parent.tell(pkgutil.resolve_name(asked["function"])(**asked["request"]))


def read_weights_only() -> None:
    """Let torch read checkpoints without calling what they name.

    A checkpoint can name functions to be called on reading it, and MMEngine reads without torch's
    list of harmless ones what that list forbids. With this, torch lets nobody read without it.
    """
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)  # with both it reads nothing at all


def main(function: str, parent_pid: int) -> None:
    """Run the function; this is the child."""
    read_weights_only()
    signal.signal(signal.SIGTERM, _end_in_order)
    # A signal and no thread that waits for the parent's end: a child may fork.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # it has ended already
        return
    parent = Parent()
    try:
        pkgutil.resolve_name(function)(parent)
    except StudyError as error:
        parent.send(refused=str(error))
    except Exception as error:
        parent.send(failed=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a library's threads must not keep it


def _end_in_order(number: int, frame: Any) -> NoReturn:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)  # kills what ignores the exit
    sys.exit(128 + number)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
