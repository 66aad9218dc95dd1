"""The queue of the fake Slurm: one JSON file, changed under a lock.

A job has a list of tasks; one that is no array has a single task whose index is None. What a task
went through before it was requeued is in ``past``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

PARTITIONS = {"normal": "infinite", "cancelled": "infinite", "urgent": "infinite", "short": "5:00"}
MAX_ARRAY_SIZE = 101
ENDED = (
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "OUT_OF_MEMORY", "NODE_FAIL"),
    *("BOOT_FAIL", "DEADLINE", "REVOKED", "LAUNCH_FAILED"),
)


def empty() -> dict:
    return {"next": 1, "jobs": [], "faults": {}}


def path() -> Path:
    return Path(os.environ["FAKE_SLURM_STATE"])


def read() -> dict:
    return json.loads(path().read_text())


@contextlib.contextmanager
def change() -> Iterator[dict]:
    """Give the state to be changed; nobody else changes it meanwhile."""
    with path().with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = read()
        yield state
        new = path().with_suffix(".new")
        new.write_text(json.dumps(state, indent=1))
        new.replace(path())


def take_id(state: dict) -> int:
    state["next"] += 1
    return state["next"] - 1


def new_task(index: int | None, reason: str) -> dict:
    return {
        **{"index": index, "raw": None, "state": "PENDING", "reason": reason, "past": []},
        **{"submit": time.time(), "start": None, "end": None, "node": "", "exit": "0:0"},
        **{"restarts": 0, "restartable": None},
    }


def job_with_id(state: dict, number: int) -> dict | None:
    """Return the newest job of that id, which may have been used before; purged ones are gone."""
    known = [job for job in state["jobs"] if job["id"] == number and not job["purged"]]
    return known[-1] if known else None


def select(state: dict, word: str) -> list[tuple[dict, dict]] | None:
    """Return the tasks that ``57``, ``57_3``, ``57_[1-2,4]`` or a task's raw id name.

    None if there is no such job or task.
    """
    number, _, indices = word.partition("_")
    job = job_with_id(state, int(number))
    if job is None:
        found = [(j, t) for j in state["jobs"] for t in j["tasks"] if t["raw"] == int(number)]
        return found or None
    wanted = parse_indices(indices.strip("[]")) if indices else None
    return [(job, t) for t in job["tasks"] if wanted is None or t["index"] in wanted] or None


def start(state: dict, job: dict, task: dict, node: str = "gpu1") -> None:
    """Let a pending task run. The last one of an array to start has the array's own id."""
    if task["raw"] is None:
        others = [t for t in job["tasks"] if t["raw"] is None and t is not task]
        task["raw"] = take_id(state) if others else job["id"]
    task.update(state="RUNNING", reason="None", start=time.time(), node=node)


def end(task: dict, name: str, code: str = "0:0") -> None:
    reason = {"FAILED": "NonZeroExitCode", "TIMEOUT": "TimeLimit"}.get(name, "None")
    task.update(state=name, reason=reason, end=time.time(), exit=code)


def requeue(task: dict, state: str = "REQUEUED") -> None:
    """Put a task back; its attempt ends in ``state``. The time of submission becomes now's."""
    now = time.time()
    task["past"].append({**task, "past": [], "state": state, "end": now})
    task.update(state="PENDING", reason="BeginTime", submit=now, start=None, end=None, node="")
    task.update(restarts=task["restarts"] + 1, exit="0:0")


def parse_indices(text: str) -> list[int]:
    """Read ``0-3,7,10-20:5``."""
    indices: list[int] = []
    for part in text.split(","):
        ends, _, step = part.partition(":")
        first, _, last = ends.partition("-")
        indices += range(int(first), int(last or first) + 1, int(step or 1))
    return indices


def print_indices(indices: list[int]) -> str:
    """Write ``0-3,7``; a pair stays a range, as in Slurm."""
    parts: list[list[int]] = []
    for index in sorted(indices):
        if parts and parts[-1][-1] == index - 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
