"""The Triton kernels without a GPU: calculated by Triton's interpreter, and compiled for one.

Skipped where Triton is not installed, unless ``STUDY_REQUIRE_TRITON=1``.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]


def results_of(mode):
    if os.environ.get("STUDY_REQUIRE_TRITON") != "1" and not importlib.util.find_spec("triton"):
        pytest.skip("Triton is not installed")
    done = subprocess.run(
        [sys.executable, HERE / "kernels.py", mode],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kernels_equal_the_torch_form():
    results = results_of("interpret")
    half = {kind: results.pop(kind) for kind in ("bfloat16", "float16")}
    assert len(results) > 15
    for name, found in results.items():
        assert max(found["deviations"]) < 1e-5, name
    for kind, found in half.items():
        # Products, weights and slopes are rounded to the type.
        assert max(found["deviations"]) < 4 * torch.finfo(getattr(torch, kind)).eps, kind
        assert found["types"], kind


def test_kernels_compile_without_atomics_and_keep_to_registers():
    results = results_of("assemble")
    assert len(results) == 9
    for name, found in results.items():
        assert found["spilled"] < 128, name  # bytes; products of blocks that spill have thousands
        assert found["atomic"] == [], name
