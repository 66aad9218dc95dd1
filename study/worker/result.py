"""``result.json``: what a finished run has reached, what it costs and what it took."""

from __future__ import annotations

import math
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plugins.contracts.metric import Metric
from plugins.contracts.tasks import find_task
from study.errors import StudyError
from study.files import BOOKKEEPING, write_json
from study.runs.folder import SCHEMA, RunFolder
from study.runs.items import FILE, drop_other_items

__all__ = ["out_of_memory", "peak_memory", "write_result"]

SPLITS = ("untrained", "train", "val")


def write_result(
    folder: RunFolder,
    run: dict[str, Any],
    attempt: int,
    device: str,
    cost: dict[str, Any],
    started: float,
) -> None:
    """Write the result of a run whose training is over.

    Parameters
    ----------
    folder: RunFolder
        Where the plugin has recorded its metrics.
    run: dict
        What ``run.json`` says.
    attempt: int
        The number of the attempt that comes to its end.
    device: str
        ``cpu`` or ``cuda``.
    cost: dict
        A :class:`plugins.attention.core.cost.Cost` as JSON.
    started: float
        When the attempt began, in seconds since the epoch.

    Raises
    ------
    StudyError
        If metrics of training or of validation are missing, or the last validation gave no finite
        value of the task's first metric.
    """
    lines = folder.metrics
    of_split = {split: [line for line in lines if line["split"] == split] for split in SPLITS}
    missing = [split for split in ("train", "val") if not of_split[split]]
    if missing:
        raise StudyError(f"{folder.path}: the plugin recorded no {missing[0]} metrics")
    metric, measured = find_task(run["science"]["task"]).metrics[0], _values(of_split["val"][-1])
    _check_value(metric, measured)
    drop_other_items(folder.path / FILE, of_split["val"][-1].get("time"))
    earlier = [a.exit.get("seconds", 0) for a in folder.attempts if a.n < attempt and a.exit]
    memory = {"peak_memory_bytes": peak_memory()}
    torch = sys.modules.get("torch")
    if device == "cuda" and torch is not None:
        memory["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated()
    write_json(
        folder.path / "result.json",
        {
            "schema": SCHEMA,
            "id": run["id"],
            "hash": run["hash"],
            "metric": metric.name,
            "metrics": measured,
            "untrained": _values(of_split["untrained"][0]) if of_split["untrained"] else {},
            "loss": {
                "first": of_split["train"][0]["loss"],
                "last": of_split["train"][-1]["loss"],
            },
            "cost": cost,
            "seconds": round(sum(earlier) + time.time() - started, 3),
            **memory,
            "attempts": attempt,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


def _check_value(metric: Metric, measured: dict[str, Any]) -> None:
    value = measured.get(metric.name)
    if isinstance(value, int | float) and math.isfinite(value):
        return
    others = ", ".join(f"{name} {value}" for name, value in measured.items()) or "nothing else"
    why = f": {metric.lacking}" if metric.lacking else ""
    raise StudyError(f"the last evaluation gave no {metric.name}{why} (it gave {others})")


def _values(line: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics in a line of ``metrics.jsonl``."""
    return {key: value for key, value in line.items() if key not in BOOKKEEPING}


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the host's or a GPU's memory is too small."""
    # By name, since torch may not even have been imported.
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def peak_memory() -> int:
    """Return the largest resident set of this program so far, in bytes (Linux).

    Not ``ru_maxrss``: it survives ``exec``, so that it begins at the size of the worker's parent.
    """
    status = Path("/proc/self/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return 1024 * int(fields["VmHWM"].split()[0])
