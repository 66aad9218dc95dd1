"""What the benchmarks share: their modules, the machine, tables on the terminal and in files."""

from __future__ import annotations

import csv
import io
import platform
import re
import socket
from collections.abc import Sequence
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.errors import StudyError
from study.files import write_text

if TYPE_CHECKING:
    from study.screen import Screen

__all__ = ["OUT", "console", "load", "machine", "slug", "write"]

OUT = Path("results/bench")
WIDTH = 100  # columns of the tables, even if the output is no terminal


def console() -> Screen:
    """Return a console that is wide enough for the tables."""
    from study.screen import Screen

    made = Screen()
    made.width = max(made.width, WIDTH) if made.is_terminal else WIDTH
    return made


def machine(distributions: Sequence[str], **more: str) -> dict[str, str]:
    """Return what the numbers depend on besides the code; the commit names that."""
    from study.runs.code import git_state
    from study.runs.provenance import cores, processor

    state = git_state()
    return {
        "host": socket.gethostname(),
        "processor": processor(),
        "cores": str(cores()),
        "python": platform.python_version(),
        **more,
        **{name: version(name) for name in distributions},
        "commit": state["commit"],
        "dirty": str(state["dirty"]),
    }


def write(path: Path, rows: list[dict[str, Any]], machine: dict[str, str]) -> None:
    """Write rows as CSV, with what they share in the last columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], *machine])
    writer.writeheader()
    writer.writerows(row | machine for row in rows)
    write_text(path, text.getvalue())


def load(group: str, name: str) -> Any:
    """Load an entry point by its name, such as ``attention`` of ``study.benchmarks``.

    Loading is by name, because this room knows neither torch nor matplotlib.
    """
    found = entry_points(group=group, name=name)
    if not found:
        raise StudyError(f"no {name!r} in the entry points {group!r}; install anew: make setup")
    return next(iter(found)).load()


def slug(name: str) -> str:
    """Return a device's name as part of a file's: ``nvidia-h200``."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))
