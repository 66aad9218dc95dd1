"""A report on runs made by hand: finished, failed, running, planned, archived, torn, and nasty."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from analysis.report.build import build
from analysis.report.front.overview import Selection
from study.runs.archive import ArchivedRun, light
from study.runs.folder import RunFolder, iter_runs

from .reader import OPTIONS

NASTY = "x\"><img src=x onerror=boom()>'&amp;é\u2028<script>boom()<"
"""As much of an attack as the name of a folder can hold: everything but the slash."""

TRACE = """Traceback (most recent call last):
  File "/home/me/plugins/translation/train.py", line 3, in train
    raise RuntimeError("</script><script>boom()</script>")
RuntimeError: </script><script>boom()</script> & <b>bold</b>
"""


def dump(path: Path, obj: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(obj))


def run(root: Path, mechanism: str, seed: int, value: float | None, **more: Any) -> Path:
    """Make a run folder; without a value it has neither result nor attempt."""
    science = {
        "task": more.get("task", "translation"),
        "mechanism": mechanism,
        "sites": list(more.get("sites", ("encoder",))),
        "seed": seed,
        "version": 1,
        "recipe": {"data": "software-en-de", "epochs": 3, "optimizer": {"name": "adam"}}
        | more.get("recipe", {}),
    }
    text = json.dumps(science, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    label = more.get("label", f"{science['task']}-{mechanism}-{'.'.join(science['sites'])}-s{seed}")
    common = {"schema": 1, "id": f"{label}-{digest}", "hash": digest}
    folder = root / common["id"]
    grid = more.get("grid", "embedded/encoder")
    dump(folder / "run.json", common | {"label": label, "grid": grid, "science": science})
    if value is None:
        return folder
    metric = more.get("metric", "BLEU")
    dump(
        folder / "provenance.json",
        {
            "commit": "0123456789abcdef",
            "dirty": False,
            "diff": "",
            "packages": {"torch": "2.13.0"},
            "host": more.get("host", "laptop"),
            "threads": 1,
            "cores": 2,
            "device": "cpu",
            "data": {"software-en-de": {"fingerprint": "0", "card": "100 pairs & <few> words"}},
        },
    )
    attempt = folder / "attempts" / "1"
    dump(attempt / "submission.json", {"launcher": "local", "host": "laptop", "pid": 7, "time": 9})
    dump(attempt / "exit.json", {"cause": "completed", "code": 0, "seconds": 60.0, "error": ""})
    lines = [{"split": "untrained", "step": 0, "epoch": 0, metric: 0.1}]
    lines += [
        {"split": "train", "step": n, "epoch": n / 100, "loss": 9 / (n + 1), "time": 0}
        for n in range(1, 301)
    ]
    lines += [{"split": "val", "step": 300, "epoch": 3, metric: value}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "train.log").write_text("".join(f"step {n} of needle\n" for n in range(1, 41)))
    macs = more.get("macs", 1_000_000 * (1 + mechanism.count("1")))
    dump(
        folder / "result.json",
        common
        | {
            "metric": metric,
            "metrics": {metric: value},
            "untrained": {metric: 0.1},
            "loss": {"first": 4.5, "last": 0.03},
            "cost": {
                "model": {"macs": 22_000_000 + macs, "parameters": 650_000},
                "mechanism": {"macs": macs, "parameters": 18_000},
                "input_shape": [32, 32],
                "uncounted": {},
            },
            "seconds": 60.0 + seed,
            "peak_memory_bytes": 565_000_000,
            "attempts": 1,
            "finished": "2019-04-11T12:00:00+00:00",
        },
    )
    return folder


@pytest.fixture(scope="session")
def make():
    """Return the function that makes a run folder."""
    return run


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """Return a folder of runs in every state."""
    root = tmp_path_factory.mktemp("report") / "runs"
    values = {"1111": 19.5, "0111": 18.25, "0010": 9.125, "none": 101.0}
    for seed in (0, 1):
        for mechanism, value in values.items():
            run(root, mechanism, seed, value + seed, macs=0 if mechanism == "none" else 10**6)
    noted = run(root, "0111", 1, values["0111"] + 1)
    dump(noted / "note.json", {"schema": 1, "text": "looks <odd>", "tags": ["odd"]})
    run(root, "0010+deformable", 0, 0.375, task="detection", metric="mAP", sites=("conv5",))
    run(root, "1000", 0, None)
    running = run(root, "0100", 0, None)
    elsewhere = {"launcher": "local", "host": "another-host", "pid": 1, "time": 9}
    dump(running / "attempts" / "1" / "submission.json", elsewhere)
    failed = run(root, "0110", 0, None, label=NASTY, grid=f"grids/{NASTY}")
    dump(failed / "attempts" / "1" / "submission.json", elsewhere)
    error = {"cause": "failed", "code": 1, "seconds": 5.0, "error": TRACE.splitlines()[-1]}
    dump(failed / "attempts" / "1" / "exit.json", error | {"traceback": TRACE})
    noise = "\x1b[31mred\x1b[0m </pre></script><script>boom()</script> \u2028\n 10%\r20%\r100% İ\n"
    (failed / "train.log").write_text(noise * 75_000 + TRACE)
    (failed / "attempts" / "1" / "stderr").write_bytes(b"\xff\xfe\x00 half a character\n")
    (root / "torn-0123456789abcdef").mkdir()
    (root / "torn-0123456789abcdef" / "run.json").write_text('{"schema": 1, "id"')
    return root


@pytest.fixture(scope="session")
def folders(runs) -> list[RunFolder]:
    """Return all of them, and an archived one."""
    kept = run(runs.parent / "elsewhere", "1111", 7, 20.0)
    file = runs.parent / f"{kept.name}.json"
    dump(file, light(RunFolder(kept)))
    return [*iter_runs(runs), ArchivedRun(runs / kept.name, file)]


@pytest.fixture(scope="session")
def site(folders, tmp_path_factory) -> Path:
    """Return the folder of the report on them."""
    out = tmp_path_factory.mktemp("site") / "report"
    build([Selection("", "none", folders)], out)
    return out


@pytest.fixture(scope="session")
def browser():
    required = os.environ.get("STUDY_REQUIRE_BROWSER") == "1"
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None and not required:
        pytest.skip("no Chromium; make browser installs it")
    assert program, "STUDY_REQUIRE_BROWSER=1, but there is no chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def named(folders):
    """Return the id of a run by a part of it."""

    def find(part: str) -> str:
        (name,) = (f.path.name for f in folders if part in f.path.name)
        return name

    return find
