"""What the report shows of one run, gathered from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.report.confused import Confused, confused
from analysis.report.logs import Log, logs
from plugins.contracts.metric import Metric
from plugins.contracts.tasks import metric_of
from study.errors import StudyError
from study.files import BOOKKEEPING
from study.grid.alone import grid_file
from study.launch.protocol import title
from study.runs.archive import ArchivedRun
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder
from study.runs.note import note
from study.runs.run import Run

__all__ = ["PlannedRun", "View", "flat", "shown", "view"]

LOSS_POINTS = 200  # of a curve, evenly spaced


@dataclass(frozen=True)
class PlannedRun(RunFolder):
    """A run that a grid asks for and that has no folder yet."""

    asked: Run = field(default_factory=lambda: Run("", {}))

    @property
    def run(self) -> dict[str, Any]:
        """As ``run.json`` will have it."""
        asked = self.asked
        known = {"id": asked.id, "label": asked.label, "hash": asked.hash, "grid": asked.grid}
        return {"schema": 1, **known, "science": asked.science}


@dataclass(frozen=True)
class View:
    """One run, ready for a page.

    Attributes
    ----------
    row: dict
        What the table of all runs shows.
    science, provenance, outcome: dict
        Configuration, origin and result, nested keys joined by dots.
    curves: dict
        For each quantity its (epoch, value) pairs; the training loss under ``loss``.
    confused: Confused, optional
        Which classes it takes for which others.
    attempts: list of dict
        Who executed it when, and how that ended, the first attempt first.
    logs: list of Log
        What it wrote.
    diff: str
        Uncommitted changes of the code that ran.
    grid_file: str
        A grid file that asks for this run and no other.
    commands: list of str
        Commands that reproduce it, given that file.
    notes: list of str
        What to know before that.
    """

    row: dict[str, Any]
    science: dict[str, Any]
    provenance: dict[str, Any]
    outcome: dict[str, Any]
    curves: dict[str, list[tuple[float, float]]]
    confused: Confused | None
    attempts: list[dict[str, Any]]
    logs: list[Log]
    diff: str
    grid_file: str
    commands: list[str]
    notes: list[str]

    @property
    def file_name(self) -> str:
        """The grid file's name in the commands."""
        return f"{self.row['id'].rpartition('-')[2]}.yaml"

    @property
    def metric(self) -> Metric:
        """The definition of its first metric."""
        return metric_of(self.row["task"], self.row["metric"] or "")

    @property
    def data(self) -> dict[str, Any]:
        """What the comparison of two runs needs."""
        parts = ("row", "science", "provenance", "outcome", "curves")
        measured = [key.removeprefix("metrics.") for key in self.outcome if key[:8] == "metrics."]
        names = dict.fromkeys([*measured, *(name for name in self.curves if name != "loss")])
        metrics = {name: shown(metric_of(self.row["task"], name)) for name in names}
        return {part: getattr(self, part) for part in parts} | {"metrics": metrics}


def view(folder: RunFolder, row: Mapping[str, Any]) -> View:
    """Gather one run.

    Parameters
    ----------
    folder: RunFolder
        The run; an archived one has no logs.
    row: mapping
        Its row of the runs table, missing values as None.

    Raises
    ------
    StudyError, OSError
        If a file of the run cannot be read.
    """
    run, result, origin = folder.run, folder.result, folder.provenance or {}
    if run is None:
        raise StudyError(f"{folder.path}: no run.json")
    made, noted = folder.attempts, note(folder)
    more = {
        "archived": isinstance(folder, ArchivedRun),
        "finished": (result or {}).get("finished"),
        "error": _last_error(made) if row["state"] != "completed" else None,
        "commit": origin.get("commit"),
        "dirty": bool(origin.get("dirty")),
        "note": noted.text,
        "tags": list(noted.tags),
    }
    told = {key: value for key, value in origin.items() if key != "diff"}
    outside = ("schema", "id", "hash")
    outcome = {key: value for key, value in (result or {}).items() if key not in outside}
    commands, notes = _reproduce(run, origin, made)
    return View(
        row={**row, **more},
        science=flat(run["science"]),
        provenance=flat(told),
        outcome=flat(outcome),
        curves=_curves(folder.metrics),
        confused=confused(folder, run["science"]["task"]),
        attempts=[_attempt(attempt) for attempt in made],
        logs=logs(folder),
        diff=str(origin.get("diff") or ""),
        grid_file=grid_file(run),
        commands=commands,
        notes=notes,
    )


def shown(metric: Metric) -> dict[str, Any]:
    """Return what the scripts need to write a value as `Metric.format` does."""
    return {"name": metric.shown, "point": metric.point, "digits": metric.decimals}


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping with its keys joined by dots; lists stay whole."""
    result: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def _reproduce(
    run: Mapping[str, Any], origin: Mapping[str, Any], made: Sequence[Attempt]
) -> tuple[list[str], list[str]]:
    """Return the commands that train the run again, and what to know before."""
    notes = []
    commit = origin.get("commit")
    checkout = [f"git checkout {commit}"] if commit else []
    if origin and not commit:
        notes.append("The code was not a git checkout; its version was not recorded.")
    if origin.get("dirty"):
        notes.append(
            "The code had uncommitted changes. Apply the difference under Provenance after the "
            "checkout."
        )
    if files := origin.get("untracked"):
        notes.append(f"Files that git did not know were part of the code: {', '.join(files)}.")
    if origin.get("device", "cpu") != "cpu":
        notes.append(f"It ran on {origin.get('gpu') or origin['device']}.")
    slots = next((a.submission.get("slots") for a in made[::-1] if a.submission), None)
    parallel = f" --slots {slots}" if isinstance(slots, int) and slots > 1 else ""
    if origin:
        notes.append(
            f"Threads: {origin.get('threads')}; cores of the host: {origin.get('cores')}. Another "
            "number of threads may change the last digits."
        )
    return [
        *checkout,
        f"study data prepare {run['science']['recipe']['data']}",
        f"study run {run['hash']}.yaml --runs reproduced{parallel}",
        f"study inspect {run['hash']} --runs reproduced",
    ], notes


def _attempt(attempt: Attempt) -> dict[str, Any]:
    submission, start, ending = attempt.submission or {}, attempt.start or {}, attempt.ending
    return {
        "n": attempt.n,
        "launcher": submission.get("launcher"),
        "title": title(submission.get("launcher")),
        "job": start.get("job"),
        "host": start.get("host") or submission.get("host"),
        "pid": start.get("pid") or submission.get("pid"),
        "began": start.get("time") or submission.get("time"),
        "seconds": ending.get("seconds"),
        "cause": ending.get("cause"),
        "code": ending.get("code"),
        "scheduler": ending.get("scheduler"),
        "error": str(ending.get("error") or ""),
        "traceback": str(ending.get("traceback") or ""),
    }


def _last_error(made: Sequence[Attempt]) -> str | None:
    ending = (made[-1].exit or {}) if made else {}
    return str(ending.get("error") or "").strip() or None


def _curves(metrics: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Return what was measured against the epoch; the loss has most points and is thinned."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for line in metrics:
        split, epoch = line.get("split"), line.get("epoch")
        if not isinstance(epoch, int | float):
            continue
        if split == "train":
            names = ["loss"]
        elif split in ("val", "untrained"):
            names = [name for name in line if name not in BOOKKEEPING]
        else:
            continue
        for name in names:
            if isinstance(value := line.get(name), int | float):
                curves.setdefault(name, []).append((epoch, value))
    if len(loss := curves.get("loss", [])) > LOSS_POINTS:
        chosen = {round(i * (len(loss) - 1) / (LOSS_POINTS - 1)) for i in range(LOSS_POINTS)}
        curves["loss"] = [loss[i] for i in sorted(chosen)]
    return curves
