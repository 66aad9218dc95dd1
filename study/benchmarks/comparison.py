"""What the launcher's benchmark found, as rows of a file and as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

__all__ = ["GOAL", "Comparison", "Timing", "Training", "tables"]

GOAL = 0.8
"""Largest share of the loop's wall time that `study run` may take."""

DISTURBANCE = 0.05
"""Share of one core for the length of a side. A machine at rest has less than 0.01 to do."""


@dataclass(frozen=True)
class Training:
    """One training."""

    mechanism: str
    seed: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.mechanism}-s{self.seed}"


@dataclass(frozen=True)
class Timing:
    """How long a side took.

    Attributes
    ----------
    wall: float
        Seconds.
    cpu: float
        Processor seconds of all its processes.
    others: float
        Processor seconds that everything else on the machine took meanwhile.
    """

    wall: float
    cpu: float
    others: float

    @property
    def disturbed(self) -> bool:
        """Whether something else had the cores for a time that matters."""
        return self.others > DISTURBANCE * self.wall


@dataclass(frozen=True)
class Comparison:
    """What was measured.

    Attributes
    ----------
    slots: int
        Trainings at a time in `study run`.
    ours_timing, theirs_timing: Timing
        Of `study run`, and of the loop.
    ours, theirs: mapping of Training to dict
        What came of each training, as :func:`study.benchmarks.stock.read` returns it.
    """

    slots: int
    ours_timing: Timing
    theirs_timing: Timing
    ours: Mapping[Training, dict[str, Any]]
    theirs: Mapping[Training, dict[str, Any]]

    @property
    def ratio(self) -> float:
        """Wall time of `study run` over that of the loop."""
        return self.ours_timing.wall / self.theirs_timing.wall

    @property
    def disturbed(self) -> bool:
        """Whether something else took part in either time."""
        return self.ours_timing.disturbed or self.theirs_timing.disturbed

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio <= GOAL

    def to_csv(self) -> list[dict[str, Any]]:
        """Return a row for each training, the times of the whole in each."""
        whole = {
            "slots": self.slots,
            "ours_seconds": self.ours_timing.wall,
            "theirs_seconds": self.theirs_timing.wall,
            "ratio": self.ratio,
            "ours_cpu_seconds": self.ours_timing.cpu,
            "theirs_cpu_seconds": self.theirs_timing.cpu,
            "ours_others_seconds": self.ours_timing.others,
            "theirs_others_seconds": self.theirs_timing.others,
            "disturbed": self.disturbed,
        }
        return [
            {
                "mechanism": cell.mechanism,
                "seed": cell.seed,
                "epochs": ours["epochs"],
                "iterations": ours["iterations"],
                "ours_first_loss": ours["first_loss"],
                "theirs_first_loss": theirs["first_loss"],
                "ours_last_loss": ours["last_loss"],
                "theirs_last_loss": theirs["last_loss"],
                "ours_mAP_50": ours["mAP_50"],
                "theirs_mAP_50": theirs["mAP_50"],
                "same_weights": ours["weights"] == theirs["weights"],
                **whole,
            }
            for cell, ours, theirs in self.pairs()
        ]

    def pairs(self) -> Iterator[tuple[Training, dict[str, Any], dict[str, Any]]]:
        """Yield each training with what came of it here, and there."""
        for cell, ours in self.ours.items():
            yield cell, ours, self.theirs[cell]


def tables(found: Comparison, judge: bool) -> Iterator[Table]:
    """Yield a table of the trainings, and one of times, with the goal if it is to be judged."""
    table = Table(title="trainings", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("mechanism", "seed", "iterations", "first loss\ntheirs", "\nours"):
        table.add_column(column, justify="left" if column == "mechanism" else "right")
    for column in ("last loss\ntheirs", "\nours", "mAP_50\ntheirs", "\nours"):
        table.add_column(column, justify="right")
    for row in found.to_csv():
        numbers = (
            f"{row[f'{side}_{key}']:.3f}"
            for key in ("first_loss", "last_loss", "mAP_50")
            for side in ("theirs", "ours")
        )
        table.add_row(row["mechanism"], str(row["seed"]), str(row["iterations"]), *numbers)
    yield table
    table = Table(title="wall time", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("", "seconds", "of the loop's", "processor\nseconds", "of others\nmeanwhile"):
        table.add_column(column, justify="right" if column else "left")
    for what, timing, share in (
        ("loop over tools/train.py, all cores each", found.theirs_timing, 1.0),
        (f"study run --slots {found.slots}", found.ours_timing, found.ratio),
    ):
        mark = " !" if timing.disturbed else ""
        times = (timing.wall, timing.cpu, timing.others)
        wall, cpu, others = (f"{seconds:.1f}" for seconds in times)
        table.add_row(what, wall, f"{share:.3f}", cpu, others + mark)
    if judge:
        verdict = Text("met", "green") if found.met else Text("missed", "red")
        table.add_row(f"goal: at most {GOAL:g}", "", verdict)
    yield table
