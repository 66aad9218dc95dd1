"""Runs of the toy task in any state, and a scheduler that says what a test wants it to."""

import json
import os
import textwrap
from pathlib import Path

from toy import TASK

from study.runs.run import Run, open_folder

TOKEN = "study-0123456789ab"


def toy_task():
    """The toy task, in this process."""
    module = {}
    exec(textwrap.dedent(TASK), module)
    return module["Toy"]()


def toy_run(mechanism="1111", seed=0, grid="grid", **recipe):
    """The run that a grid file of the toy task asks for."""
    science = {"task": "toy", "mechanism": mechanism, "seed": seed, "version": 1}
    science["sites"] = [] if mechanism == "none" else ["a"]
    return Run(grid, {**science, "recipe": toy_task().Recipe(**recipe).model_dump(mode="json")})


def planned(root, mechanism="1111", seed=0, **recipe):
    return open_folder(toy_run(mechanism, seed, **recipe), Path(root))


def ended(folder, cause, error="", trace="", launcher="local"):
    """Give a run another attempt, which ended so."""
    attempt = folder.claim()
    attempt.submit(launcher, os.getpid())
    attempt.end(cause, 1, attempt.path.stat().st_mtime, error, trace)
    return attempt


def submitted(folder, index=0, job=None, token=TOKEN):
    """Give a run to Slurm; with `job` that has begun."""
    attempt = folder.claim()
    attempt.queue("slurm", token, index)
    if job:
        attempt.begin(job)
    return attempt


def scheduler(tmp_path, monkeypatch, answer="", code=0):
    """Put a ``squeue`` and a ``sacct`` on the path; return the file that counts their calls."""
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir(exist_ok=True)
    (tmp_path / "answer").write_text(answer)
    for name in ("squeue", "sacct"):
        what = f"cat {tmp_path}/answer" if name == "squeue" else "true"
        command = f"echo {name} >> {calls}; {what}"
        if code:
            command = f"echo {name} >> {calls}; echo Unable to contact slurm controller >&2"
        (folder / name).write_text(f"#!/bin/sh\n{command}; exit {code}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return calls


def line(index, state, reason="None", node="", token=TOKEN):
    """What ``squeue`` says of a task."""
    return f"{token}|7|{index}|{state}|N/A|{node}|{reason}\n"


def finished(folder, score=0.5, lines=3):
    """Give a run the result that the toy task writes."""
    ended(folder, "completed")
    run = folder.run
    metrics = [{"split": "untrained", "time": 0.0, "step": 0, "epoch": 0, "score": 0.0}]
    for step in range(1, lines + 1):
        metrics.append({"split": "train", "time": 0.0, "step": step, "epoch": step, "loss": 1.0})
    metrics.append({"split": "val", "time": 0.0, "step": lines, "epoch": lines, "score": score})
    text = "".join(json.dumps(each) + "\n" for each in metrics)
    (folder.path / "metrics.jsonl").write_text(text)
    provenance = {"commit": "c0ffee", "dirty": True, "diff": "x" * 10_000, "packages": {}}
    provenance |= {"data": {"toy-data": {"fingerprint": "0", "card": "toy numbers"}}}
    (folder.path / "provenance.json").write_text(json.dumps(provenance))
    cost = {"model": {"macs": 100, "parameters": 10}, "mechanism": {"macs": 20, "parameters": 2}}
    result = {
        "schema": 1,
        "id": run["id"],
        "hash": run["hash"],
        "metric": "score",
        "metrics": {"score": score},
        "untrained": {"score": 0.0},
        "loss": {"first": 1.0, "last": 1.0},
        "cost": cost | {"input_shape": [1], "uncounted": {}},
        "seconds": 1800.0,
        "peak_memory_bytes": 1000,
        "attempts": 1,
        "finished": "2019-04-11T12:00:00+00:00",
    }
    (folder.path / "result.json").write_text(json.dumps(result))
    return folder


def everything(root):
    """All files below a folder with the time of their last change."""
    return {path: path.stat().st_mtime_ns for path in Path(root).rglob("*")}
