"""Processes that do not outlive whoever asked for them, however that one ends.

Slurm's daemons start processes that leave their parent (the one that watches over a job step
does), so that a list of children is not enough. The keeper is a process of its own: orphans below
it become its children (``PR_SET_CHILD_SUBREAPER``), and when the pipe to its owner closes, which
the end of the tests, Ctrl-C and ``kill -9`` all do, it kills every process below it and removes
their folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
REAP_SECONDS = 0.2


class Keeper:
    """The owner's end: starts and stops daemons by name.

    Args:
        folder: What the daemons write; removed when the keeper ends.
    """

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the owner
        )

    def start(self, name: str, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self._ask(verb="start", name=name, command=command, log=str(log), environment=environment)

    def stop(self, name: str) -> None:
        """End the daemon in its own way (SIGTERM) and wait for that."""
        self._ask(verb="stop", name=name)

    def signal(self, name: str, number: int) -> None:
        self._ask(verb="signal", name=name, number=number)

    def is_running(self, name: str) -> bool:
        """Say whether the daemon was started and has not ended."""
        return self._ask(verb="poll", name=name)

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(60)

    def _ask(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the keeper of the daemons has ended")
        return json.loads(answer)


class _Daemons:
    """The keeper's end."""

    def __init__(self) -> None:
        self._by_name: dict[str, subprocess.Popen] = {}

    def start(self, name: str, command: list[str], log: str, environment: dict[str, str]) -> bool:
        with Path(log).open("a") as output:
            self._by_name[name] = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
            )
        return True

    def stop(self, name: str) -> bool:
        daemon = self._by_name[name]
        daemon.terminate()
        daemon.send_signal(signal.SIGCONT)  # one that was paused ends only when it goes on
        daemon.wait()
        return True

    def signal(self, name: str, number: int) -> bool:
        self._by_name[name].send_signal(number)
        return True

    def poll(self, name: str) -> bool:
        return name in self._by_name and self._by_name[name].poll() is None

    def reap(self) -> None:
        """Take in what became of the orphans, leaving the daemons to ``Popen``."""
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(ChildProcessError):
            while dead := os.waitid(os.P_ALL, 0, look):
                for daemon in self._by_name.values():
                    if daemon.pid == dead.si_pid:
                        daemon.poll()
                        break
                else:
                    os.waitpid(dead.si_pid, 0)


def _kill_all_below() -> None:
    """Kill every descendant; those orphaned by that appear as children in the next round."""
    while below := psutil.Process().children(recursive=True):
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)


def _main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    daemons = _Daemons()
    try:
        while True:
            daemons.reap()
            if not select.select([sys.stdin], [], [], REAP_SECONDS)[0]:
                continue
            line = sys.stdin.readline()
            if not line:
                break
            request = json.loads(line)
            print(json.dumps(getattr(daemons, request.pop("verb"))(**request)), flush=True)
    finally:
        _kill_all_below()
        shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    _main()
