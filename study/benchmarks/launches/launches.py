"""Operators that a step dispatches and bytes that it keeps, by configuration; needs no GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from study.benchmarks.cases import Case, select
from study.benchmarks.on_cuda.cases import gpu_cases, settings
from study.worker.child import Child

__all__ = ["VERSIONS", "Row", "cases", "measure", "tables"]

VERSIONS = ("torch", "onedl-mmcv", "ve-fairseq")
"""Distributions on whose versions the numbers depend."""

SETTINGS = ("conv5/2", "conv5", "T=128", "T=128 causal", "conv4/2", "conv4")
"""Of those on a GPU; the count hardly depends on the size, and a CPU has to calculate it all."""

MIB = 2**20


@dataclass(frozen=True)
class Row:
    """A side of a setting: what one step of it does."""

    case: Case
    side: str
    found: Mapping[str, int]

    @property
    def name(self) -> str:
        """The setting."""
        return f"{self.case.ours} {self.case.precision}"

    def to_csv(self) -> dict[str, Any]:
        """Return the columns."""
        found = self.found
        return {
            "side": self.side,
            **self.case.columns,
            "forward_operators": found["forward"],
            "backward_operators": found["backward"],
            "reads": found["reads"],
            "saved_bytes": found["saved"],
        }


def cases(quick: bool, pattern: str | None) -> list[Case]:
    """Return the cases to count: all, or those whose name contains `pattern`."""
    every = gpu_cases(quick, flex=False)
    if not quick:
        every = [case for case in every if case.setting in SETTINGS]
        every.sort(key=lambda case: SETTINGS.index(case.setting))
    return select([case for case in every if case.reference != "conv"], pattern)


def measure(cases: Sequence[Case], begin: Callable[[str, int], None]) -> Iterator[list[Row]]:
    """Count one setting after the other; yield the rows of each.

    Parameters
    ----------
    cases: sequence of Case
        As :func:`cases` returns them.
    begin: callable
        Called with the name of no device and the number of settings before the first is counted.

    Raises
    ------
    StudyError
        If the counting process fails.
    """
    groups = settings(list(cases))
    begin("", len(groups))
    with Child("study.benchmarks.launches.worker:serve") as child:
        child.tell([case.to_json() for case in cases])
        for group in groups:
            found = child.hear()
            yield [Row(group[0], side, step) for side, step in found.items()]


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Yield a table for each input and precision: a line a configuration, its sides beside it."""
    for heading in dict.fromkeys(_heading(row) for row in rows):
        own = [row for row in rows if _heading(row) == heading]
        sides = list(dict.fromkeys(row.side for row in own))
        table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
        table.add_column("operators +\nof backward")
        for side in sides:
            table.add_column(f"{side}", justify="right")
            table.add_column("MiB\nsaved", justify="right")
        for name in dict.fromkeys(row.case.configuration for row in own):
            found = {row.side: row.found for row in own if row.case.configuration == name}
            cells = [cell for side in sides for cell in _cells(found.get(side))]
            table.add_row(name, *cells)
        yield table


def _heading(row: Row) -> str:
    return f"{row.case.setting} · {row.case.precision}"


def _cells(found: Mapping[str, int] | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    reads = f" ({found['reads']} read)" if found["reads"] else ""
    return f"{found['forward']} + {found['backward']}{reads}", f"{found['saved'] / MIB:.1f}"
