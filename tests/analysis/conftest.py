"""Run folders made by hand, with the files that the contract names and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.stats.claims import load

CARD = "trees: 60 aerial images, 40 for training & 20 held out; 100% public_domain"


def dump(path: Path, obj: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(obj))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes one run folder under ``tmp_path/runs``.

    ``value=None`` makes a run without a result; `more` is added to its science configuration.
    """

    def make(
        mechanism: str = "0010",
        seed: int = 0,
        value: float | None = 0.4,
        *,
        untrained: float = 0.01,
        macs: int = 2_000_000,
        task: str = "detection",
        sites: tuple[str, ...] = ("conv4", "conv5"),
        metric: str = "mAP",
        recipe: dict[str, Any] | None = None,
        seconds: float = 61.5,
        version: int = 1,
        uncounted: dict[str, int] | None = None,
        **more: Any,
    ) -> Path:
        science = {
            "task": task,
            "mechanism": mechanism,
            "sites": list(sites),
            "seed": seed,
            "version": version,
            "recipe": {"data": "trees", "epochs": 8} | (recipe or {}),
        } | more
        digest = hashlib.sha256(json.dumps(science, sort_keys=True).encode()).hexdigest()[:16]
        label = f"{task}-trees-{mechanism}-{'.'.join(sites)}-s{seed}"
        name = f"{label}-{digest}"
        folder = tmp_path / "runs" / name
        common = {"schema": 1, "id": name, "hash": digest}
        dump(
            folder / "run.json",
            common | {"label": label, "grid": "demo/detection", "science": science},
        )
        if value is None:
            return folder
        dump(folder / "provenance.json", {"data": {"trees": {"fingerprint": "0", "card": CARD}}})
        dump(folder / "attempts" / "1" / "exit.json", {"cause": "completed", "code": 0})
        dump(
            folder / "result.json",
            common
            | {
                "metric": metric,
                "metrics": {metric: value, f"{metric}_50": min(1.0, 2 * value)},
                "untrained": {metric: untrained},
                "loss": {"first": 2.41, "last": 0.97},
                "cost": {
                    "model": {"macs": 1_250_000_000 + macs, "parameters": 3_400_000},
                    "mechanism": {"macs": macs, "parameters": 51_200 if macs else 0},
                    "input_shape": [3, 256, 256],
                    "uncounted": {"aten._softmax": 1000} if uncounted is None else uncounted,
                },
                "seconds": seconds,
                "peak_memory_bytes": 800_000_000 + seed,
                "attempts": 1,
                "finished": "2019-04-11T12:00:00+00:00",
            },
        )
        return folder

    return make


@pytest.fixture
def mine(tmp_path):
    """Return a function that writes the tests of one claim, reads it, and returns the claim."""

    def write(tests, head="", tasks="[translation]", attention="self", recipe="{}", chance="[]"):
        path = tmp_path / "mine.yaml"
        path.write_text(
            f"{head}\nclaims:\n  x1:\n    statement: Ours.\n    source: us\n"
            f"    tasks: {tasks}\n    attention: {attention}\n    recipe: {recipe}\n"
            f"    expects_chance: {chance}\n    tests:\n{tests}\n"
        )
        return load([path])[-1]

    return write
