"""Run a function in a fresh interpreter, and talk with it in lines of JSON.

``study`` knows no framework: it asks a child for what needs one. The function of `ask` takes the
request's fields, and what it returns is the answer. That of a `Child` takes a
`study.worker.parent.Parent`, and hears and tells as often as it likes::

    metrics = ask("package.module:evaluate", {"checkpoint": "epoch_4.pth"})

    with Child("package.module:measure") as child:
        child.tell({"rounds": 2})
        for answer in child:
            print(answer)

Whatever else the child or its libraries print goes to `progress`, line by line. A `StudyError` in
the child is raised with its sentence in the parent, any other error as `ChildFailed`. A child ends
when its parent does, however that ends (Linux).
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from study.environment import child_environment
from study.errors import StudyError
from study.worker.parent import GRACE_SECONDS

__all__ = ["Child", "ChildFailed", "ask"]

PRINTED_SECONDS = 1.0
"""Time for the last lines of a child that has ended. Its own children may keep the pipe open."""


class ChildFailed(StudyError):
    """A child has ended by an error that it did not foresee, or by a signal."""


def ask(
    function: str,
    request: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    progress: Callable[[str], None] = lambda line: None,
    seconds: float | None = None,
) -> Any:
    """Return what a function returns in a process of its own.

    Parameters
    ----------
    function: str
        ``module:function``.
    request: mapping
        Its keyword arguments; they and the answer must be JSON.
    environment, progress
        As of a `Child`.
    seconds: float, optional
        How long to wait for the answer.

    Raises
    ------
    StudyError
        If the function raises one; `ChildFailed` if it fails otherwise.
    TimeoutError
        If there is no answer after so many seconds.
    """
    with Child("study.worker.parent:answer", environment, progress) as child:
        child.tell({"function": function, "request": request})
        return child.hear(seconds)


class Child:
    """A process that runs a function, and that ends when the ``with`` does.

    Parameters
    ----------
    function: str
        ``module:function``; called with a `study.worker.parent.Parent`.
    environment: mapping of str to str, optional
        Variables beside those of :func:`study.environment.child_environment`.
    progress: callable, optional
        Called with each line that the child prints, while this process waits for it.
    """

    def __init__(
        self,
        function: str,
        environment: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._progress, self._last = progress, ""
        self._process = subprocess.Popen(
            # -P: take no code from the folder in which somebody works.
            [sys.executable, "-P", "-m", "study.worker.parent", function, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=child_environment(environment),
            start_new_session=True,  # Ctrl-C reaches this process alone, which tells the child
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        # A thread for each pipe: while one is read, the other may be full and block the child.
        self._lines: queue.SimpleQueue[tuple[IO[str], str]] = queue.SimpleQueue()
        answering, self._printing = (
            threading.Thread(target=self._read, args=(pipe,), daemon=True)
            for pipe in (self._answers, self._process.stderr)
        )
        answering.start()
        self._printing.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def __iter__(self) -> Iterator[Any]:
        """Yield its answers until it has ended."""
        while line := self._line(None):
            yield _answer_in(line)
        if self._code():
            raise self._failure()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def tell(self, request: Any) -> bool:
        """Send a request; False if the child has ended already, and `hear` says why."""
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        except OSError:
            return False
        return True

    def hear(self, seconds: float | None = None) -> Any:
        """Wait for the next answer, as long as it takes or for so many seconds.

        Raises
        ------
        StudyError
            If the child raised one; `ChildFailed` if it failed or ended otherwise.
        TimeoutError
            If no answer has come in time. The child goes on.
        """
        line = self._line(seconds)
        if not line:
            raise self._failure()
        return _answer_in(line)

    def end(self, grace: float = GRACE_SECONDS) -> int:
        """Tell it to end, kill it after so many seconds; return the code as of `Popen`."""
        self._process.terminate()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
        with contextlib.suppress(OSError):  # of what was never sent
            self._requests.close()
        code = self._process.wait()
        self._pass_on()
        return code

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                self._lines.put((pipe, line))
        self._lines.put((pipe, ""))

    def _line(self, seconds: float | None) -> str:
        """Return the next answer as it came, empty after the last; pass on what is printed."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                pipe, line = self._lines.get(timeout=left)
            except queue.Empty:
                raise TimeoutError(f"no answer within {seconds:g} s") from None
            if pipe is not self._answers:
                self._print(line)
            elif line.endswith("\n"):
                return line
            else:
                self._lines.put((pipe, ""))  # for whoever hears once more
                return ""

    def _pass_on(self) -> None:
        """Pass on what a child that has ended printed last."""
        self._printing.join(PRINTED_SECONDS)
        while not self._lines.empty():
            pipe, line = self._lines.get()
            if pipe is not self._answers:
                self._print(line)
        self._lines.put((self._answers, ""))

    def _print(self, line: str) -> None:
        if line.strip():
            self._last = line.strip()
            self._progress(self._last)

    def _code(self) -> int:
        """Return the code of a child that has hung up."""
        try:
            return self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return self.end()

    def _failure(self) -> ChildFailed:
        code = self._code()
        self._pass_on()
        if code >= 0:
            return ChildFailed(self._last or f"exit code {code}")
        memory = (
            ", as Linux and schedulers do for want of memory" if -code == signal.SIGKILL else ""
        )
        return ChildFailed(f"its process was ended by {signal.Signals(-code).name}{memory}")


def _answer_in(line: str) -> Any:
    told = json.loads(line)
    if "refused" in told:
        raise StudyError(told["refused"])
    if "failed" in told:
        error = ChildFailed(told["failed"])
        error.add_note(told["traceback"])
        raise error
    return told["answer"]
