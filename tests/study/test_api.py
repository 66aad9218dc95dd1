"""``import study`` submits as the command does, and says what has become of the runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time

SUBMIT = """
import study
plan = study.submit("grid.yaml", "local", seed=[0])
print(plan[["mechanism", "seed"]].to_json(orient="values"))
"""
PLAN = """
import study
print(study.plan("grid.yaml")["state"].to_json(orient="values"))
"""


def python(text, tmp_path):
    """Run a text as somebody's own program."""
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_is_submitted_from_python_is_trained(toy, tmp_path):
    toy("task: toy\nproduct: {mechanism: [none, 1111]}\nseeds: [0, 1]\n")
    told, *_, plan = python(SUBMIT, tmp_path)
    assert "trains 1 at a time" in told
    assert json.loads(plan) == [["none", 0], ["1111", 0]]
    deadline = time.monotonic() + 60
    while (states := json.loads(python(PLAN, tmp_path)[-1])).count("completed") < 2:
        assert time.monotonic() < deadline, states
        time.sleep(0.5)
    assert states == ["completed", "planned"] * 2
