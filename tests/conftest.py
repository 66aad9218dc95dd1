"""What tests of several rooms share, and how processes share the tests (``pytest -n``)."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

# Read by torch when it is imported. More threads than cores, as of several processes, can cost many
# times the time, and threads that wait for each other should not do so busily.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
# The tests share modules; pytest's importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from toy import toy

__all__ = ["start", "toy"]

LONGEST = (
    "slurm", "study", "openmmlab", "translation", "grids", "docs", "outside", "benchmarks",
)  # fmt: skip
"""The folders whose tests take the longest: they begin, so that all processes end together."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Put the longest first; tests of a file stay together."""

    def rank(item):
        room = item.path.relative_to(Path(__file__).parent).parts[0]
        return LONGEST.index(room) if room in LONGEST else len(LONGEST)

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each process whole files, whose tests share runs, and one of them those of Slurm."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            shares_cluster = file.startswith("tests/slurm/") and not file.endswith("_faults.py")
            return "slurm" if shares_cluster else file

    config.option.loadscopereorder = False  # which would put files of many tests first
    return ByFile(config, log)


@pytest.fixture(autouse=True, scope="module")
def _leave_alone_what_is_there():
    """Keep the objects that are there out of later collections of garbage.

    To look through all that the tests and the frameworks have made takes a second, and MMEngine
    asks for it with each data set that it opens, statsmodels with each family of tests.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()  # or some libraries complain at the end that their objects were never freed


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
