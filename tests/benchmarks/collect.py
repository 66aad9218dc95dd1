"""How long ``study collect`` takes over many finished runs: ``python tests/benchmarks/collect.py``.

Makes run folders as large as those of a small training (200 lines of loss, an evaluation after
each of 12 epochs, uncommitted changes of 8 kB) in a temporary folder, and collects them: first all,
then with nothing changed, then after one run more. Prints wall and processor seconds of the whole
command, the start of Python included. Files are in the page cache, for they have just been written.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from study.runs.run import science_hash

TERMS = [f"{n:04b}" for n in range(16)]
SITES = ("encoder", "decoder", "self", "cross")
LINES, EPOCHS, DIFF = 200, 12, 8_000
PACKAGES = {f"package-{n}": f"{n}.13.0" for n in range(12)}
OPERATORS = {f"aten.operator_{n}": 9248 + n for n in range(26)}


def make(root: Path, number: int) -> None:
    """Make run `number`: the same files with other numbers."""
    chance = random.Random(number)
    mechanism, sites, seed = TERMS[number % 16], SITES[number // 16 % 4], number // 64
    recipe = {"data": "software-en-de", "epochs": EPOCHS, "absolute_positions": True}
    recipe |= {f"hyperparameter_{n}": n / 7 for n in range(20)}
    task = "translation"
    science = {"task": task, "mechanism": mechanism, "sites": [sites], "seed": seed}
    science |= {"version": 1, "recipe": recipe}
    digest = science_hash(science)
    label = f"{task}-software-en-de-{mechanism}-{sites}-s{seed}"
    common = {"schema": 1, "id": f"{label}-{digest}", "hash": digest}
    folder = root / f"{label}-{digest}"
    (folder / "attempts" / "1").mkdir(parents=True)

    def dump(name: str, obj: Any) -> None:
        (folder / name).write_text(json.dumps(obj, indent=2))

    dump("run.json", common | {"label": label, "grid": "many/runs", "science": science})
    card = "real software translations English-German, 19833/1000/1000 pairs; in-domain val"
    data = {"software-en-de": {"fingerprint": digest * 4, "card": card}}
    origin = {
        "commit": digest * 2,
        "dirty": True,
        "diff": f"+{'a line of code that changed':>58}\n" * (DIFF // 60),
    }
    dump("provenance.json", origin | {"packages": PACKAGES, "host": "node", "data": data})
    dump("attempts/1/exit.json", {"cause": "completed", "code": 0, "error": ""})
    untrained: dict[str, Any] = {"BLEU": 0.0, "perplexity": chance.uniform(9e3, 1e4)}
    lines: list[dict[str, Any]] = [
        {"split": "untrained", "time": 1.7e9, "step": 0, "epoch": 0} | untrained
    ]
    metrics = untrained
    for n in range(1, LINES + 1):
        place = {"time": 1.7e9 + n / 8, "step": 10 * n, "epoch": round(EPOCHS * n / LINES, 4)}
        lines.append({"split": "train", **place, "loss": chance.uniform(5, 13), "lr": 0.1 / n})
        if n * EPOCHS % LINES < EPOCHS:
            metrics = {"BLEU": chance.uniform(0, 30), "perplexity": chance.uniform(30, 90)}
            lines.append({"split": "val", **place, **metrics})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    macs = {"macs": 22557696, "executed_macs": 22195200, "parameters": 650976}
    cost = {"model": macs, "mechanism": macs, "input_shape": [32, 32], "uncounted": OPERATORS}
    result: dict[str, Any] = {
        "metric": "BLEU",
        "metrics": metrics,
        "untrained": untrained,
        "cost": cost,
    }
    result |= {"loss": {"first": lines[1]["loss"], "last": 5.7}, "seconds": chance.uniform(90, 99)}
    result |= {"peak_memory_bytes": 564760576, "attempts": 1}
    dump("result.json", common | result | {"finished": "2019-04-11T12:00:00+00:00"})


def measure(what: str, place: Path) -> None:
    """Run the command once, and print its time and its first line."""
    command = [shutil.which("study") or "study", "collect", "--runs", "runs", "--out", "t.parquet"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command,
        cwd=place,
        env=os.environ | {"STUDY_RESULTS": "nowhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what:17} wall {wall:5.2f} s, processor {cpu:5.2f} s: {done.stdout.splitlines()[0]}")


def main() -> None:
    """Read the command line, make the folders, measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="?", type=int, default=10_000, help="how many run folders")
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for number in range(count):
            make(place / "runs", number)
        measure("cold", place)
        measure("nothing changed", place)
        make(place / "runs", count)
        measure("one run more", place)


if __name__ == "__main__":
    main()
