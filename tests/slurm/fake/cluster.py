"""The test's end of the fake Slurm: what is queued, what goes wrong, what is executed."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fake import state as queue
from fake.batch import pattern

PROGRAM = Path(__file__).with_name("program.py")
NAMES = ("sbatch", "srun", "squeue", "sacct", "scancel", "scontrol", "sinfo")


class FakeSlurm:
    """Nothing happens by itself: the test starts, ends and requeues tasks.

    Args:
        folder: Takes the programs (in ``bin``) and the state.
    """

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.path = folder / "state.json"
        self.path.write_text(json.dumps(queue.empty()))
        for name in NAMES:
            program = self.bin / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {PROGRAM} {name} "$@"\n')
            program.chmod(0o755)

    # What is there.

    @property
    def jobs(self) -> list[dict]:
        """All jobs ever submitted, as in the state file."""
        return queue.read()["jobs"]

    @property
    def calls(self) -> list[list[str]]:
        """The calls so far that change something: sbatch, scancel, scontrol requeue."""
        return queue.read().get("calls", [])

    def task(self, job: int, index: int | None = None) -> dict:
        with self._task(job, index) as (_, _, task):
            return task

    # What goes wrong.

    def fail_sbatch(self, *answers: str) -> None:
        """Let the next calls of sbatch go wrong, one an answer.

        Args:
            answers: ``lost``: the job is queued, and sbatch says that the controller timed out.
                ``unheard``: says the same, and the job is not queued. Any other text is what
                sbatch prints for a queued job, with ``{id}`` for its id.
        """
        self.set_fault("sbatch", list(answers))

    def set_fault(self, name: str, value) -> None:
        """Switch a fault on, or off with None.

        Args:
            name: ``max_submit``: tasks that the queue takes. ``sacct_lag``: seconds for which
                sacct knows nothing of a job. ``no_accounting``: sacct refuses. ``unreachable``:
                names of programs that reach no controller. ``hang``: seconds by name of program.
                ``dots``: what squeue writes at the end of a list that it cut.
            value: See there.
        """
        with queue.change() as state:
            state["faults"][name] = value
            if value is None:
                del state["faults"][name]

    def remove(self, program: str) -> None:
        """Let there be no such command, as where no accounting is installed."""
        (self.bin / program).unlink()

    def purge(self, job: int) -> None:
        """Let the controller forget a job; accounting still knows it."""
        with queue.change() as state:
            queue.job_with_id(state, job)["purged"] = True

    def forget(self, job: int) -> None:
        """Let nobody know a job any more."""
        with queue.change() as state:
            state["jobs"] = [known for known in state["jobs"] if known["id"] != job]

    def next_id(self, number: int) -> None:
        """Give this id to the next job, though it may have been given before."""
        with queue.change() as state:
            state["next"] = number

    # What happens to a task.

    def set_state(self, job: int, index: int | None, name: str, reason: str = "None") -> None:
        """Put a task into any state, such as ``COMPLETING`` or one that nobody has heard of."""
        with self._task(job, index) as (_, _, task):
            task.update(state=name, reason=reason)

    def start(self, job: int, index: int | None = None, node: str = "gpu1") -> None:
        with self._task(job, index) as (state, found, task):
            queue.start(state, found, task, node)

    def finish(self, job: int, index: int | None, name: str, code: str = "0:0") -> None:
        """End a task in a state such as ``TIMEOUT``; one that waited is started first."""
        with self._task(job, index) as (state, found, task):
            if task["start"] is None:
                queue.start(state, found, task)
            queue.end(task, name, code)

    def requeue(self, job: int, index: int | None, name: str = "PREEMPTED") -> None:
        """Put a running task back into the queue; ``name`` is how that attempt ended."""
        with self._task(job, index) as (_, _, task):
            queue.requeue(task, name)

    def run_task(
        self, job: int, index: int | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess:
        """Execute the batch script of a pending task as Slurm would, to its end.

        What it prints is in the files that sbatch was told. The task is COMPLETED or FAILED then,
        unless it has been cancelled or requeued meanwhile.
        """
        with self._task(job, index) as (state, found, task):
            queue.start(state, found, task)
        environment = {
            **found["environment"],
            "PATH": f"{self.bin}:{found['environment']['PATH']}",
            "SLURM_JOB_ID": str(task["raw"]),
            "SLURM_JOBID": str(task["raw"]),
            "SLURM_JOB_NAME": found["name"],
            "SLURM_JOB_NODELIST": task["node"],
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_NTASKS": "1",
            "SLURM_PROCID": "0",
            "SLURM_LOCALID": "0",
            "SLURM_NODEID": "0",
            "SLURM_SUBMIT_DIR": found["folder"],
            "SLURMD_NODENAME": task["node"],
        }
        if index is not None:
            environment["SLURM_ARRAY_JOB_ID"] = str(job)
            environment["SLURM_ARRAY_TASK_ID"] = str(index)
        if task["restarts"]:  # Slurm sets it from the second execution on
            environment["SLURM_RESTART_COUNT"] = str(task["restarts"])
        script = self.path.with_name(f"script-{found['key']}")
        script.write_text(found["script"])
        script.chmod(0o755)
        mode = "a" if environment.get("SLURM_OPEN_MODE") == "a" else "w"
        with ExitStack() as files:
            streams = [
                files.enter_context(Path(pattern(found[name], environment)).open(mode))
                for name in ("output", "error")
                if found[name]
            ]
            done = subprocess.run(
                [script, *found["arguments"]],
                env=environment,
                cwd=found["folder"],
                stdin=subprocess.DEVNULL,
                stdout=streams[0],
                stderr=streams[-1],
                check=False,
                timeout=timeout,
            )
        with self._task(job, index) as (_, _, now):
            if now["state"] == "RUNNING" and now["restarts"] == task["restarts"]:
                ended = "FAILED" if done.returncode else "COMPLETED"
                code = max(done.returncode, 0)
                queue.end(now, ended, f"{code}:{-done.returncode if done.returncode < 0 else 0}")
        return done

    @contextmanager
    def _task(self, job: int, index: int | None):
        with queue.change() as state:
            found = queue.job_with_id(state, int(job))
            (task,) = [task for task in found["tasks"] if task["index"] == index]
            yield state, found, task
