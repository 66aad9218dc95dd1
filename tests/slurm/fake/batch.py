"""``sbatch`` and ``srun`` of the fake Slurm."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from fake import state as queue
from fake.words import Options, fail

FLAGS = "parsable test-only requeue no-requeue hold exclusive wait verbose quiet"
SHORT = {"J": "job-name", "a": "array", "o": "output", "e": "error", "p": "partition", "t": "time"}
SHORT |= {
    "A": "account",
    "D": "chdir",
    "H": "hold",
    "b": "begin",
    "c": "cpus-per-task",
    "W": "wait",
}
SHORT |= {"N": "nodes", "n": "ntasks", "w": "nodelist", "G": "gpus"}
SRUN_FLAGS = "unbuffered label exclusive exact overlap overcommit verbose quiet"
SRUN_SHORT = {**SHORT, "u": "unbuffered", "l": "label", "s": "overcommit", "K": "kill-on-bad-exit"}
ACCOUNTS = ("root", "small")
FAILED = "sbatch: error: Batch job submission failed"
LOST = "Socket timed out on send/recv operation"
FULL = (
    "sbatch: error: AssocMaxSubmitJobLimit",
    "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
)


def sbatch(words: list[str]) -> None:
    given = Options(words, FLAGS, SHORT, stop=True)
    if "wrap" in given:
        script = f"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{given['wrap']}\n"
    else:
        try:
            script = Path(given.rest[0]).read_text()
        except OSError:
            fail(f"sbatch: error: Unable to open file {given.rest[0]}")
    options = Options(_directives(script), FLAGS, SHORT) | dict(given)
    test = "test-only" in options
    with queue.change() as state:
        state.setdefault("calls", []).append(["sbatch", *words])
        faults = state["faults"].get("sbatch")
        fault = faults.pop(0) if faults and not test else None
        if fault == "unheard":
            number, refusal = None, None
        elif not (refusal := _refusal(state, options)):
            number = queue.take_id(state)
            if not test:
                name = "wrap" if "wrap" in given else Path(given.rest[0]).name
                state["jobs"].append(_job(number, name, options, script, given.rest[1:]))
                state["jobs"][-1]["key"] = time.time_ns()  # since an id may be given again
    if fault in ("lost", "unheard"):
        fail(f"{FAILED}: {LOST}")
    if refusal:
        first, last = refusal
        message = f"{'allocation failure' if test else FAILED}: {last}"
        fail(f"{first}\n{message}" if first else message)
    if test:
        soon = time.strftime("%Y-%m-%dT%H:%M:%S")
        where = options.get("partition", "normal")
        text = f"start at {soon} using 1 processors on nodes gpu1 in partition {where}"
        print(f"sbatch: Job {number} to {text}", file=sys.stderr)
    elif fault:  # an odd answer
        print(fault.format(id=number))
    else:
        print(number if "parsable" in options else f"Submitted batch job {number}")


def _directives(script: str) -> list[str]:
    words = []
    for line in script.splitlines()[1:]:
        if line.startswith("#SBATCH"):
            words += shlex.split(line.removeprefix("#SBATCH"), comments=True)
        elif line.strip() and not line.startswith("#"):
            break
    return words


def _array(options: dict) -> tuple[list[int] | None, int | None]:
    if "array" not in options:
        return None, None
    indices, _, throttle = options["array"].partition("%")
    return queue.parse_indices(indices), int(throttle) if throttle else None


def _refusal(state: dict, options: dict) -> tuple[str, str] | None:
    partition = options.get("partition", "normal")
    indices, _ = _array(options)
    if partition not in queue.PARTITIONS:
        first = f"sbatch: error: invalid partition specified: {partition}"
        return first, "Invalid partition name specified"
    if options.get("account", "root") not in ACCOUNTS:
        return "", "Invalid account or account/partition combination specified"
    if indices and max(indices) >= queue.MAX_ARRAY_SIZE:
        return "", "Invalid job array specification"
    most = state["faults"].get("max_submit")
    queued = sum(t["state"] not in queue.ENDED for job in state["jobs"] for t in job["tasks"])
    if most is not None and queued + len(indices or [0]) > most:
        return FULL
    return None


def _job(number: int, name: str, options: dict, script: str, words: list[str]) -> dict:
    indices, throttle = _array(options)
    folder = options.get("chdir", str(Path.cwd()))
    default = "slurm-%A_%a.out" if indices else "slurm-%j.out"
    # sbatch hands its --open-mode on to srun like this.
    mode = {"SLURM_OPEN_MODE": options["open-mode"][0]} if "open-mode" in options else {}
    reason = "JobHeldUser" if "hold" in options else "None"
    return {
        **{"id": number, "name": options.get("job-name", name), "purged": False},
        **{"partition": options.get("partition", "normal"), "throttle": throttle},
        **{"account": options.get("account", "root"), "submit": time.time(), "options": options},
        **{"script": script, "arguments": words, "folder": folder},
        "environment": dict(os.environ) | mode,
        "output": str(Path(folder) / options.get("output", default)),
        "error": str(Path(folder) / options["error"]) if "error" in options else None,
        "tasks": [queue.new_task(index, reason) for index in indices or [None]],
    }


def pattern(text: str, environment: Mapping[str, str]) -> str:
    """Fill in the ``%A_%a_%t`` of a file name from the environment of a task."""
    fill = {"%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID", "%j": "SLURM_JOB_ID"}
    fill |= {"%t": "SLURM_PROCID", "%x": "SLURM_JOB_NAME", "%N": "SLURM_JOB_NODELIST"}
    for sign, name in fill.items():
        text = text.replace(sign, environment.get(name, "4294967294"))
    return text


def srun(words: list[str]) -> None:
    """Become the command, once; standard output and error go where the options say."""
    options = Options(words, SRUN_FLAGS, SRUN_SHORT, stop=True)
    for name, number in (("output", 1), ("error", 2)):
        if name in options:
            append = options.get("open-mode", os.environ.get("SLURM_OPEN_MODE", "t"))[0] == "a"
            mode = os.O_APPEND if append else os.O_TRUNC
            file = os.open(
                pattern(options[name], os.environ), os.O_WRONLY | os.O_CREAT | mode, 0o644
            )
            os.dup2(file, number)
    if "output" in options and "error" not in options:
        os.dup2(1, 2)
    os.environ |= {
        "SLURM_STEP_ID": "0",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
    }
    os.execvp(options.rest[0], options.rest)
