"""What tests of several rooms share."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

# The tests share modules; pytest's importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from toy import toy

__all__ = ["start", "toy"]


class Processes(list):
    """The processes of a run, by rank, whose output goes to one file each."""

    def wait(self, seconds: float = 300) -> list[int]:
        """Return the exit codes."""
        return [process.wait(seconds) for process in self]

    def succeed(self) -> None:
        """Wait until all have done their work."""
        for process, code in zip(self, self.wait(), strict=True):
            assert code == 0, process.path.read_text()

    def kill(self) -> None:
        for process in self:
            process.kill()
        self.wait()


@pytest.fixture
def start(tmp_path):
    """Start so many processes of ``python ...`` as a launcher would."""
    started = []

    def start(world: int, *command: object) -> Processes:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        processes = Processes()
        started.append(processes)
        for rank in range(world):
            variables = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": world,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "OMP_NUM_THREADS": 1,
            }
            with (tmp_path / f"output-{len(started)}-{rank}").open("w") as output:
                process = subprocess.Popen(
                    [sys.executable, *map(str, command)],
                    env=os.environ | {name: str(value) for name, value in variables.items()},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            process.path = Path(output.name)
            processes.append(process)
        return processes

    yield start
    for processes in started:
        processes.kill()
