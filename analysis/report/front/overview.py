"""What the first page tells beside the verdicts: states, failures by cause, figures and means."""

from __future__ import annotations

import itertools
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd

from analysis.figures.all import kinds
from analysis.figures.drawing.form import Form, shaped
from analysis.figures.drawing.style import STYLE, write
from analysis.paper import verdicts
from analysis.report.front.drawn import key, taken_over
from analysis.stats.claims import Verdict
from analysis.stats.effects import Effects, effects
from analysis.stats.group import Group, groups
from analysis.tables.columns import columns
from analysis.tables.effects import cells
from analysis.tables.others import others
from study.errors import StudyError
from study.runs.folder import STATES, RunFolder
from study.status import triage
from study.status.states import States

__all__ = [
    *("COST", "UNUSABLE", "Section", "Selection", "Shown"),
    *("failures", "forest", "section", "tally", "title", "together", "trouble"),
]

COST = "cost"
"""The kind that stands above the verdicts."""

APART = ("overview", "verdicts")
"""Kinds that no section has: the panels of the first are all in those of `COST`, and `forest` draws
the verdicts that were asked for."""

PIXELS = 96 / 72
"""Of CSS, in a typographic point."""

UNUSABLE = (StudyError, ValueError, ArithmeticError)
"""Errors from numbers that cannot be compared or drawn; an overflow is an ArithmeticError."""


@dataclass(frozen=True)
class Selection:
    """The runs of one grid, which has a file, or all runs if `name` is empty."""

    name: str
    baseline: str | None
    folders: Sequence[RunFolder]
    file: Path | None = None


@dataclass(frozen=True)
class Shown:
    """A group as the first page shows it.

    Attributes
    ----------
    title, task: str
        Of the group.
    headings, names: list
        Headings of groups of columns with their widths, if it has any, and the name of each column
        below them.
    rows: list of list of str
        The table; the first column is the mechanism, or the effect.
    notes: list of str
        What a reader must know.
    """

    title: str
    task: str
    headings: list[tuple[str, int]]
    names: list[str]
    rows: list[list[str]]
    notes: list[str]


@dataclass(frozen=True)
class Section:
    """What the first page shows of a selection.

    Attributes
    ----------
    name: str
        Of the grid.
    id: str
        Of its heading in the page.
    figures: dict of str to list of dict
        The images of each kind: address of the SVG, its caption and notes, other formats.
    tables: list of Shown
        Means over seeds.
    effects: list of Shown
        Effects of the terms.
    troubles: list of str
        What could not be shown, and why.
    """

    name: str
    id: str
    figures: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tables: list[Shown] = field(default_factory=list)
    effects: list[Shown] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def shown(self) -> bool:
        """Whether there is anything below its heading."""
        return bool(self.figures or self.tables or self.troubles)


def section(
    selection: Selection, frame: pd.DataFrame, out: Path, old: Path, number: int, alone: bool
) -> Section:
    """Summarise a selection, the `number`-th, and draw its figures below ``out/figures``.

    `old` is the folder of an earlier report, whose figures are taken if they show the same runs.
    Unless the selection is `alone`, the figures that `together` draws are left to it.
    """
    shown = Section(selection.name, f"part-{number}")
    if not (frame["state"] == "completed").any():
        return shown
    try:
        there = groups(frame, selection.baseline)
        for group in there:
            shown.tables.append(_table(group))
            if len(more := others(group)):
                heading = f"{group.title} · other metrics"
                rows = more.to_numpy().tolist()
                shown.tables.append(Shown(heading, group.task, [], list(more), rows, []))
        shown.effects.extend(_effects(found) for found in effects(there))
        wanted = [
            name
            for name, kind in kinds().items()
            if name not in APART and (alone or not kind.together)
        ]
        place = Path(selection.name or "all")
        shown.figures.update(_figures(frame, out, old, place, selection.baseline, wanted))
    except UNUSABLE as error:
        shown.troubles.append(trouble("means and figures", error))
    return shown


def together(frame: pd.DataFrame, out: Path, old: Path) -> Section:
    """Draw what all selections show together below ``out/figures``; `old` as for `section`."""
    shown = Section("All together", "together")
    if not (frame["state"] == "completed").any():
        return shown
    wanted = [name for name, kind in kinds().items() if kind.together]
    with suppress(*UNUSABLE):  # the verdicts, which are on all runs too, say why
        shown.figures.update(_figures(frame, out, old, Path("together"), None, wanted))
    return shown


def forest(found: Sequence[Verdict], out: Path, old: Path) -> list[dict[str, Any]]:
    """Draw verdicts as one forest plot below ``out/figures``; `old` as for `section`."""
    shown = [v for v in found if math.isfinite(v.high - v.low) and v.claim.margins.get(v.metric)]
    if not shown:
        return []
    place = Path("figures") / "verdicts"

    def draw() -> dict[str, list[Path]]:
        with shaped(Form(plain=True)), mpl.rc_context(STYLE):
            return {"verdicts": write(verdicts.figure(shown), out / place / "verdicts")}

    said = [(v.claim.statement, v.claim.margins, v.title, v.verdict, v.low, v.high) for v in shown]
    try:
        drawn = taken_over(old / place, out / place, key(said), draw)
    except UNUSABLE:  # they are in words below
        return []
    return _images("verdicts", drawn["verdicts"], out)


def trouble(what: str, error: Exception) -> str:
    """Say why something is not shown; only a StudyError explains itself."""
    if isinstance(error, StudyError):
        return str(error)
    return f"{what} are incomplete, perhaps for an absurd number in a run: {error}"


def tally(states: Sequence[str]) -> list[tuple[str, int]]:
    """Count the runs in each state, in the order of a run's life."""
    counts = Counter(states)
    order = ("completed", "running", "queued", "planned", *STATES)
    return [(state, counts[state]) for state in dict.fromkeys(order) if counts[state]]


def failures(folders: Mapping[str, RunFolder], states: Mapping[str, str]) -> list[triage.Failure]:
    """Return the failures of the runs, the one with most runs first."""
    failed = [name for name, state in states.items() if state in triage.FAILURES]
    found = States(of=dict(states), seen=dict(folders))
    return triage.failures(found, failed)


def _size(svg: Path) -> list[int]:
    """Return width and height in pixels, so that a browser keeps room for an image to come."""
    root = ElementTree.parse(svg).getroot()
    points = (float(root.attrib[side].removesuffix("pt")) for side in ("width", "height"))
    return [round(PIXELS * number) for number in points]


def _figures(
    frame: pd.DataFrame,
    out: Path,
    old: Path,
    place: Path,
    baseline: str | None,
    wanted: Sequence[str],
) -> dict[str, list[dict[str, Any]]]:
    """Return the images of each kind that is `wanted` and has any, drawn or taken over."""
    place = Path("figures") / place
    done = frame[frame["state"] == "completed"].sort_values("id").to_dict("records")
    drawn = taken_over(
        old / place,
        out / place,
        key(done, baseline, wanted),
        lambda: _draw(frame, out / place, baseline, wanted),
    )
    found = {kind: _images(kind, paths, out) for kind, paths in drawn.items()}
    return {kind: images for kind, images in found.items() if images}


def _draw(
    frame: pd.DataFrame, out: Path, baseline: str | None, wanted: Sequence[str]
) -> dict[str, list[Path]]:
    # matplotlib reports substituted glyphs and the like, which nobody can act on here.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    # The same runs in another order give the same figures.
    frame = frame.sort_values("id", kind="stable", ignore_index=True)
    found = [group for group in groups(frame, baseline) if len(group.done)]
    with shaped(Form(plain=True)):  # heading and notes are the page's
        return {kind: kinds()[kind].draw(found, out) for kind in wanted}


def _table(group: Group) -> Shown:
    text = columns(group)
    pairs = list(text.columns)
    headings = itertools.groupby(pairs, lambda pair: pair[0])
    return Shown(
        group.title,
        group.task,
        [(heading, len(list(run))) for heading, run in headings],
        [name for _, name in pairs],
        text.to_numpy().tolist(),
        group.notes,
    )


def _effects(found: Effects) -> Shown:
    return Shown(found.group.title, found.group.task, [], *cells(found), found.notes)


def title(kind: str) -> str:
    """Return the heading of a kind of figures."""
    return kinds()[kind].title


def _images(kind: str, paths: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    formats: dict[Path, dict[str, str]] = {}
    captions: dict[Path, list[str]] = {}
    for path in paths:
        if path.suffix == ".txt":
            captions[path.with_suffix("")] = path.read_text(encoding="utf-8").splitlines()
            continue
        address = path.relative_to(out).as_posix()
        formats.setdefault(path.with_suffix(""), {})[path.suffix[1:]] = address
    found = []
    for stem, files in formats.items():
        if "svg" not in files:
            continue
        # A figure of another package may have none.
        caption, *notes = captions.get(stem, [f"{title(kind)}: {stem.name.replace('-', ' ')}"])
        found.append(
            {
                "svg": files["svg"],
                "size": _size(out / files["svg"]),
                "others": {suffix: file for suffix, file in files.items() if suffix != "svg"},
                "caption": caption,
                "notes": notes,
            }
        )
    return found
