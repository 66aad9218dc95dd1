"""Write pages, data and figures into one folder, then replace the old folder with it."""

from __future__ import annotations

import importlib.resources
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.report.comparable import belonging, choices, styles
from analysis.report.front import overview
from analysis.report.front.findings import READ, Finding, findings
from analysis.report.front.overview import Selection
from analysis.report.front.since import MARKER, previous, since, snapshot
from analysis.report.front.verdicts import Judged, judged
from analysis.report.logs import readable
from analysis.report.pages import page, script
from analysis.report.runs import View, shown, view
from analysis.runs.collect import collect
from analysis.stats.claims import Claim, load
from analysis.stats.group import Group, groups, split
from study.errors import StudyError
from study.files import naming, write_json
from study.runs.folder import RunFolder

__all__ = ["Built", "Edition", "build"]

IN_TABLE = (
    *("id", "label", "grid", "task", "data", "mechanism", "sites", "seed", "state", "archived"),
    *("metric", "value", "untrained", "model_macs", "mechanism_macs", "model_parameters"),
    *("mechanism_parameters", "seconds", "peak_memory_bytes", "attempts", "finished", "error"),
)
IN_ROW = (*IN_TABLE, "groups", "commit", "dirty", "note", "tags")
ERROR_CHARACTERS = 300  # of an error in the table; the page of the run has all of it


@dataclass(frozen=True)
class Built:
    """Where the report is, and what is in it."""

    index: Path
    runs: int
    broken: list[tuple[str, str]]


@dataclass(frozen=True)
class Edition:
    """What may differ between two reports on the same runs.

    Attributes
    ----------
    renews: float or None
        Seconds between two looks of a page at whether it is outdated; None if it never is.
    single: bool
        Whether the pages shall go into one file, without logs and other formats of figures.
    before: mapping
        What the report said of itself that changes are told from, as `previous` returns it.
    tell: callable
        Is told what is being done.
    """

    renews: float | None = None
    single: bool = False
    before: Mapping[str, Any] = field(default_factory=dict)
    tell: Callable[[str], object] = str
    built: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    stamp: str = field(default_factory=lambda: secrets.token_hex(8))

    def page(self, template: str, **context: Any) -> str:
        """Return a page."""
        known = {"renews": self.renews, "single": self.single}
        return page(template, **known | {"built": self.built, "stamp": self.stamp} | context)


def build(
    selections: Sequence[Selection],
    out: Path,
    claims: Sequence[Claim] | None = None,
    edition: Edition | None = None,
) -> Built:
    """Build the report on `selections` as the folder `out`.

    An older report stays as it is until the new one is whole, which then replaces it. Figures of
    the same runs are taken from it.

    Parameters
    ----------
    selections: sequence of Selection
        The runs.
    out: Path
        The folder.
    claims: sequence of Claim, optional
        What is judged; the paper's claims by default.
    edition: Edition, optional
        Which report; by default one that tells changes since the one in `out`.

    Raises
    ------
    StudyError
        If `out` is something other than a report, there is no run, or the registration of a grid
        was edited.
    """
    _refuse_foreign(out)
    edition = edition or Edition(before=previous(out))
    edition.tell("reading the runs")
    frames = [collect(selection.folders) for selection in selections]
    whole = _joined(frames)
    if whole.empty:
        raise StudyError("no runs, so there is nothing to report on")
    out.parent.mkdir(parents=True, exist_ok=True)
    building = out.with_name(f".{out.name}.{secrets.token_hex(4)}.building")
    try:
        with naming(out, building):
            building.mkdir()
            broken = _write(selections, frames, whole, building, out, claims or load(), edition)
            _swap(building, out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Built(out / "index.html", len(whole) - len(broken), _broken(frames) + broken)


def _refuse_foreign(out: Path) -> None:
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise StudyError(f"{out} is not a folder; --out names another place")
    if any(out.iterdir()) and not (out / MARKER).is_file():
        raise StudyError(
            f"{out} holds something that is not a report (it has no {MARKER}), and would be "
            "replaced; --out names another place"
        )


def _swap(building: Path, out: Path) -> None:
    """Put the new folder where the old one is: two renames, then the old one goes."""
    old = building.with_suffix(".old")
    _refuse_foreign(out)  # it may have appeared meanwhile
    if out.exists():
        out.rename(old)
    building.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the selections; a run that several grids ask for is one run."""
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return frames[0]
    return pd.concat(filled, ignore_index=True).drop_duplicates("id", ignore_index=True)


def _broken(frames: Sequence[pd.DataFrame]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(pair for frame in frames for pair in frame.attrs["broken"]))


def _write(
    selections: Sequence[Selection],
    frames: Sequence[pd.DataFrame],
    whole: pd.DataFrame,
    out: Path,
    old: Path,
    claims: Sequence[Claim],
    edition: Edition,
) -> list[tuple[str, str]]:
    """Write everything; return the runs without a page, and why."""
    folders = {folder.path.name: folder for selection in selections for folder in selection.folders}
    with importlib.resources.as_file(importlib.resources.files("analysis.report")) as here:
        shutil.copytree(here / "static", out / "static")
    there = [*split(whole)]
    edition.tell("writing a page a run")
    rows, broken = _runs(whole, there, folders, out, edition)
    baselines = {f.path.name: each.baseline for each in selections for f in each.folders}
    data = {"runs": rows, "groups": choices(there, baselines), "style": styles(whole)}
    (out / "runs.js").write_text(script("study.index", data))
    alone = len(selections) == 1
    shown = [] if alone else [overview.together(whole, out, old)]
    for number, (selection, frame) in enumerate(zip(selections, frames, strict=True), 1):
        edition.tell(f"drawing the figures {selection.name}".rstrip())
        shown.append(overview.section(selection, frame, out, old, number, alone))
    edition.tell("judging claims")
    states = {row["id"]: row["state"] for row in rows}
    titles = [selection.name for selection in selections if selection.name]
    common = {"root": "", "title": ", ".join(titles) or "All runs"}
    files = [selection.file for selection in selections if selection.file]
    done = bool((whole["state"] == "completed").any())
    verdicts = judged(whole, claims, files) if done else None
    found = _found(whole, verdicts)
    now = snapshot(rows, verdicts)
    changed = since(edition.before, now)
    known = {"schema": 1, "made_by": "study report", "built": edition.built}
    write_json(out / MARKER, known | {"stamp": edition.stamp} | now)
    costs = [image for each in shown for image in each.figures.pop(overview.COST, [])]
    failures = overview.failures(folders, states)
    unreadable = _broken(frames) + broken
    contents = {
        "since": changed and "Since the last report",
        "findings": found and "Findings",
        "failures": failures and "What failed",
        "broken": unreadable and "What could not be read",
        "cost": costs and "Accuracy against cost",
        "verdicts": verdicts and "Verdicts",
        **{each.id: each.shown and (each.name or "Figures and means") for each in shown},
        "words": "Words",
    }
    (out / "index.html").write_text(
        edition.page(
            "index",
            **common,
            sections=shown,
            tally=overview.tally(list(states.values())),
            total=len(rows),
            contents=[(name, words) for name, words in contents.items() if words],
            since=changed,
            found=found,
            read=READ,
            failures=failures,
            costs=costs,
            forests=overview.forest(verdicts.found, out, old) if verdicts else [],
            judged=verdicts,
            done=done,
            broken=unreadable,
            commits=sorted({row["commit"][:12] for row in rows if row["commit"]}),
            dirty=sum(row["dirty"] for row in rows),
        )
    )
    for name in ("runs", "compare"):
        (out / f"{name}.html").write_text(edition.page(name, **common))
    return broken


def _found(whole: pd.DataFrame, verdicts: Judged | None) -> list[Finding]:
    try:
        return findings(groups(whole), verdicts) if verdicts else []
    except overview.UNUSABLE:  # the section that cannot be shown says why
        return []


def _runs(
    whole: pd.DataFrame,
    there: Sequence[Group],
    folders: dict[str, RunFolder],
    out: Path,
    edition: Edition,
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Write the page and the data of each run; return the rows of the table."""
    (out / "runs").mkdir()
    rows: list[dict[str, Any]] = []
    broken: list[tuple[str, str]] = []
    records = whole.astype(object).where(whole.notna(), None).to_dict("records")
    siblings: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    belongs = belonging(there)
    for record in records:
        record["groups"] = belongs[record["id"]]
        siblings.setdefault(_cell(record), []).append(record)
    for record in records:
        try:
            seen = view(folders[record["id"]], record)
        except (StudyError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            broken.append((str(folders[record["id"]].path), str(error)))
            continue
        _write_run(seen, siblings[_cell(record)], out / "runs", edition)
        told = seen.row["error"]
        rows.append(
            {
                **{name: seen.row.get(name) for name in IN_ROW},
                "shown": shown(seen.metric),
                "error": told and readable(told.encode(errors="replace"))[:ERROR_CHARACTERS],
            }
        )
    return rows, broken


def _cell(record: dict[str, Any]) -> tuple[Any, ...]:
    """Return what runs share that differ in their seed alone."""
    return (*record["groups"], record["mechanism"], record["sites"])


def _write_run(
    seen: View, siblings: Sequence[dict[str, Any]], folder: Path, edition: Edition
) -> None:
    name = seen.row["id"]
    others = [record for record in siblings if record["id"] != name]
    context = {"root": "../", "title": seen.row["label"], "run": seen, "siblings": others}
    if seen.row["state"] == "completed":
        context["renews"] = None  # nothing will change, and its reader is not to be disturbed
    text = edition.page("run", **context)
    (folder / f"{name}.html").write_text(text, encoding="utf-8")
    data = {**seen.data, "row": {key: seen.row.get(key) for key in IN_TABLE}}
    (folder / f"{name}.js").write_text(script("study.run", name, data))
    (folder / f"{seen.row['id']}.yaml").write_text(seen.grid_file, encoding="utf-8")
