"""Rows as tables for the terminal; none is wider than 100 columns.

``fwd`` is the forward pass, ``step`` forward and backward, ``×`` how many times faster ours is or
how many times less memory it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from study.benchmarks.cases import REFERENCES
from study.benchmarks.numbers import number, ratio
from study.benchmarks.on_cpu.goals import Goal
from study.benchmarks.on_cpu.rows import Row, geometric_mean

__all__ = ["tables"]

MIB = 2**20


def tables(rows: Sequence[Row], verdicts: Sequence[Goal]) -> Iterator[Table]:
    """Yield a table for each input that mmcv's module got, one of the other comparisons, and goals.

    Parameters
    ----------
    rows: sequence of Row
        As measured.
    verdicts: sequence of Goal
        What :func:`~study.benchmarks.on_cpu.goals.goals` says of them.
    """
    for threads in dict.fromkeys(row.threads for row in rows):
        own = [row for row in rows if row.threads == threads]
        mmcv = [row for row in own if row.case.reference == "mmcv"]
        for setting in dict.fromkeys(row.case.setting for row in mmcv):
            title = f"{setting} beside {REFERENCES['mmcv']} · threads: {threads}"
            chosen = [row for row in mmcv if row.case.setting == setting]
            table = _comparison(title, chosen)
            if len(chosen) > 2:
                table.add_section()
                table.add_row(*_means(chosen))
            yield table
        others = [row for row in own if row.case.reference != "mmcv"]
        if others:
            yield _comparison(f"beside other modules · threads: {threads}", others)
    if verdicts:
        yield _goals(verdicts)


def _comparison(title: str, rows: Sequence[Row]) -> Table:
    """A line a case, with the forward pass beside forward and backward."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("", no_wrap=True)
    for group in ("fwd ms", "step ms"):
        table.add_column(f"{group}\ntheirs", justify="right")
        table.add_column("\nours", justify="right")
        table.add_column("\n×", justify="right")
    table.add_column("fwd mem\n×", justify="right")
    table.add_column("step MiB\ntheirs", justify="right")
    table.add_column("\nours", justify="right")
    table.add_column("\n×", justify="right")
    table.add_column("")
    by_case: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_case.setdefault(row.case.name, {})[row.pass_] = row
    for name, passes in by_case.items():
        forward, step = passes["forward"], passes["forward+backward"]
        table.add_row(
            forward.case.configuration if forward.case.reference == "mmcv" else name,
            *_times(forward),
            *_times(step),
            ratio(forward.memory_ratio),
            number(step.peaks["reference"] / MIB),
            number(step.peaks["ours"] / MIB),
            ratio(step.memory_ratio),
            Text("!" if forward.disturbed or step.disturbed else "", "yellow"),
        )
    return table


def _means(rows: Sequence[Row]) -> list[str | Text]:
    """The last line of a table: geometric means of the ratios."""
    forward = [row for row in rows if row.pass_ == "forward"]
    step = [row for row in rows if row.pass_ == "forward+backward"]
    return [
        f"mean of {len(step)}",
        "",
        "",
        ratio(geometric_mean(row.speedup for row in forward)),
        "",
        "",
        ratio(geometric_mean(row.speedup for row in step)),
        ratio(geometric_mean(row.memory_ratio for row in forward)),
        "",
        "",
        ratio(geometric_mean(row.memory_ratio for row in step)),
    ]


def _times(row: Row) -> tuple[str, str, Text]:
    milliseconds = [1000 * row.times[side].wall for side in ("reference", "ours")]
    return number(milliseconds[0]), number(milliseconds[1]), ratio(row.speedup)


def _goals(verdicts: Sequence[Goal]) -> Table:
    table = Table(title="goals", title_justify="left", box=SIMPLE_HEAD, padding=0)
    for column in ("", "threads", "goal", "found"):
        table.add_column(column, overflow="fold")
    for goal in verdicts:
        mark = Text("met", "green") if goal.met else Text("missed", "red")
        table.add_row(mark, str(goal.threads), goal.what, goal.found)
    return table
