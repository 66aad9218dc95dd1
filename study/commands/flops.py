"""``study flops``: what every configuration of grids costs, for reading or for a paper."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.commands.select import Grids
from study.errors import StudyError
from study.files import write_text
from study.units import giga, mega

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from study.runs.run import Run

__all__ = ["register"]

FIGURES = {
    "macs": "MACs (G)",
    "executed_macs": "executed (G)",
    "parameters": "parameters (M)",
}
"""What is counted of the whole model and of the mechanism, and its unit for people."""

WRITE = {"macs": giga, "executed_macs": giga, "parameters": mega}


class Format(enum.StrEnum):
    """What ``study flops`` can write."""

    MARKDOWN = "markdown"
    CSV = "csv"
    LATEX = "latex"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(flops)


def flops(
    grids: Grids,
    format: Annotated[Format, typer.Option(help="How to show it.")] = Format.MARKDOWN,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            help="File to write instead, .md, .csv or .tex by its ending; may be repeated."
        ),
    ] = None,
) -> None:
    """Count MACs and parameters of every configuration, without data and without training."""
    from study.grid.reading import find, load
    from study.screen import Screen
    from study.worker.measure import costs

    formats = {path: _format(path) for path in out or ()}
    named = [load(path) for path in find(grids)]
    cells = {grid.name: _once(grid.runs()) for grid in named}
    everything = [run for runs in cells.values() for run in runs]
    with Screen(stderr=True).status("building the models") as status:
        counted = costs(everything, way_out="", progress=status.update)
    tables = [
        table
        for name, runs in cells.items()
        for table in _tables(name, runs, [counted[run.id] for run in runs])
    ]
    for path, wanted in formats.items():
        write_text(path, _WRITERS[wanted](tables))
        typer.echo(path)
    if not formats:
        typer.echo(_WRITERS[format](tables), nl=False)


def _format(path: Path) -> Format:
    endings = {".md": Format.MARKDOWN, ".csv": Format.CSV, ".tex": Format.LATEX}
    if path.suffix not in endings:
        raise StudyError(f"{path}: the ending says what to write; valid: {', '.join(endings)}")
    return endings[path.suffix]


@dataclass(frozen=True)
class Table:
    """The configurations of a grid at one choice of sites and one input shape.

    Attributes
    ----------
    heading: dict of str to str
        grid, task, data, sites, input.
    rows: DataFrame
        mechanism, and ``model_<figure>`` and ``mechanism_<figure>`` in single units.
    uncounted: dict of str to int
        Operators without a formula, and the most elements that each produces in a configuration.
    """

    heading: dict[str, str]
    rows: pd.DataFrame
    uncounted: dict[str, int]

    @property
    def title(self) -> str:
        """A line above the table."""
        return " · ".join(filter(None, (self.heading[key] for key in ("grid", "data", "sites"))))

    @property
    def notes(self) -> list[str]:
        """What a reader must know about the numbers."""
        listed = ", ".join(f"{name} {n:,}" for name, n in self.uncounted.items())
        return [
            f"One input of shape {self.heading['input']}; a multiply-accumulate counts 1. MACs: of"
            " the mechanism's definition; executed: of its evaluation here, on a CPU.",
            f"Not counted, as no formula is known, with the elements produced at most: {listed}.",
        ]


def _once(runs: Iterable[Run]) -> list[Run]:
    """Keep one of the runs that differ in their seed alone."""
    return list({(run.mechanism, run.sites): run for run in reversed(list(runs))}.values())[::-1]


def _tables(grid: str, runs: Sequence[Run], counted: Sequence[dict[str, Any]]) -> Iterable[Table]:
    import pandas as pd

    rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    uncounted: dict[tuple[str, ...], dict[str, int]] = {}
    # A network without a mechanism has no site, so it is a row of every table.
    all_sites = [key for key in dict.fromkeys(run.sites for run in runs) if key] or [()]
    for run, cost in zip(runs, counted, strict=True):
        shape = "x".join(map(str, cost["input_shape"]))
        figures = {
            f"{whose}_{figure}": cost[whose][figure]
            for whose in ("model", "mechanism")
            for figure in FIGURES
        }
        for sites in [run.sites] if run.sites else all_sites:
            heading: tuple[str, ...] = (grid, run.task, run.data, ".".join(sites), shape)
            rows.setdefault(heading, []).append({"mechanism": run.mechanism, **figures})
            most = uncounted.setdefault(heading, {})
            for name, elements in cost["uncounted"].items():
                most[name] = max(elements, most.get(name, 0))
    for heading, found in rows.items():
        named = dict(zip(("grid", "task", "data", "sites", "input"), heading, strict=True))
        yield Table(named, pd.DataFrame(found), dict(sorted(uncounted[heading].items())))


def _shown(table: Table) -> pd.DataFrame:
    """Return the rows as text, in units for people."""
    import pandas as pd

    columns = {"mechanism": list(table.rows["mechanism"])}
    for whose in ("model", "mechanism"):
        for figure, header in FIGURES.items():
            label = header if whose == "model" else f"+{header}"
            columns[label] = [*map(WRITE[figure], table.rows[f"{whose}_{figure}"])]
    return pd.DataFrame(columns)


def _markdown(tables: Sequence[Table]) -> str:
    parts = []
    for table in tables:
        shown = _shown(table)
        align = ("left", *["right"] * (shown.shape[1] - 1))
        # Otherwise tabulate would read the word 0010 as a number.
        body = shown.to_markdown(index=False, colalign=align, disable_numparse=True)
        notes = "".join(f"- {note}\n" for note in table.notes)
        parts.append(f"### {table.title}\n\n{body}\n\n- +: what the mechanism adds.\n{notes}")
    return "\n".join(parts)


def _csv(tables: Sequence[Table]) -> str:
    import pandas as pd

    comments = "".join(f"# {table.title}: {note}\n" for table in tables for note in table.notes)
    whole = pd.concat([table.rows.assign(**table.heading) for table in tables])
    front = ["grid", "task", "data", "sites", "input", "mechanism"]
    return comments + whole.set_index(front).to_csv(lineterminator="\n")


def _latex(tables: Sequence[Table]) -> str:
    parts = []
    for table in tables:
        body = _shown(table).to_latex(index=False, escape=True, column_format="l" + 6 * "r")
        notes = "".join(f"% {note}\n" for note in ("+: what the mechanism adds.", *table.notes))
        parts.append(f"% {table.title}\n{body}{notes}")
    return "\n".join(parts)


_WRITERS = {Format.MARKDOWN: _markdown, Format.CSV: _csv, Format.LATEX: _latex}
