"""What benchmarks share that may run on a GPU: rows are written as they come."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.commands.bench.writing import machine, slug, write
from study.errors import StudyError

if TYPE_CHECKING:
    from study.screen import Screen

__all__ = ["Device", "Parts", "none_of", "progress", "refuse"]


class Device(enum.StrEnum):
    """Where a benchmark runs."""

    CPU = "cpu"
    CUDA = "cuda"


class Parts:
    """The rows of a measurement, and the file that has them.

    Until all is measured the file is ``NAME-part.csv``: a measurement that was cut short, by its
    limit or by whatever ends the process, leaves what it has, and replaces no whole one.

    Parameters
    ----------
    out: Path
        Folder of the file.
    stem: str
        Begins its name; the device's name follows.
    versions: sequence of str
        Distributions to be named in the file.
    quick: bool
        Whether the numbers mean nothing.
    whole: bool
        Whether everything is to be measured.
    """

    def __init__(
        self, out: Path, stem: str, versions: Sequence[str], quick: bool, whole: bool
    ) -> None:
        self.rows: list[Any] = []
        self._out, self._stem = out, stem
        self._versions, self._quick, self._whole = versions, quick, whole
        self._measured, self._wanted = 0, 0
        self._done: Callable[[str], None] = lambda what: None

    @contextmanager
    def measuring(self, shown: Screen) -> Iterator[Callable[[str, int], None]]:
        """Yield what the measurement calls before the first rows come, under a progress bar."""
        with progress(shown, None) as done:

            def begin(name: str, settings: int) -> None:
                self._machine = machine(self._versions, **({"gpu": name} if name else {}))
                stem = "-".join(filter(None, (self._stem, slug(name), "quick" * self._quick)))
                self._path = self._out / f"{stem}.csv"
                self._wanted = settings
                done.total(settings)

            self._done = done
            yield begin

    @property
    def path(self) -> Path:
        """The file."""
        complete = self._whole and self._measured == self._wanted
        return self._path if complete else self._path.with_stem(f"{self._path.stem}-part")

    def add(self, rows: Sequence[Any]) -> None:
        """Take the rows of a setting, and write all that there are."""
        part = self.path
        self.rows += rows
        self._measured += 1
        write(self.path, [row.to_csv() for row in self.rows], self._machine)
        if self.path != part:
            part.unlink(missing_ok=True)
        self._done(rows[0].name)

    def say(self, shown: Screen) -> None:
        """Say so if the limit has left something out."""
        if self._measured < self._wanted or not self._wanted:
            of = f" of {self._wanted} settings" if self._wanted else ", not even the start was over"
            shown.print(f"the time was up after {self._measured}{of}", style="yellow")


class _Progress:
    """Counts what is done on a progress bar."""

    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def __call__(self, what: str) -> None:
        self._bar.update(self._task, advance=1, description=what, refresh=True)

    def total(self, count: int) -> None:
        self._bar.update(self._task, total=count, refresh=True)


@contextmanager
def progress(shown: Screen, total: int | None) -> Iterator[_Progress]:
    """Yield what is called with the name of each thing done.

    The bar is redrawn only then: otherwise it would disturb the measurement.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=shown, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("starting", total=total)
        bar.refresh()
        yield _Progress(bar, task)


def none_of(only: str | None, cases: Sequence[Any]) -> StudyError:
    """Return the error that no case has `only` in its name."""
    every = "\n  ".join(case.name for case in cases)
    return StudyError(f"no case has {only!r} in its name; the cases:\n  {every}")


def refuse(device: str, **options: Any) -> None:
    """Raise StudyError if an option is given that says nothing on this device."""
    for name, value in options.items():
        if value:
            other = "cuda" if device == "cpu" else "cpu"
            raise StudyError(f"{name} is for --device {other}, and this is {device}")
