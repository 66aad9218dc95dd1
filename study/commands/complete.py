"""What the shell offers when TAB is pressed. A mistake here must not write into the prompt."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import typer

__all__ = ["clusters", "doors", "mechanisms", "run_ids", "states"]


def run_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of the runs in the folder of runs, and of the archived ones."""
    from study.runs.archive import RUN_ID, index
    from study.runs.run import default_root

    root = Path(context.params.get("root") or default_root())
    with contextlib.suppress(OSError):
        there = [path.name for path in root.iterdir()] if root.is_dir() else []
        ids = {name for name in there if RUN_ID.fullmatch(name)} | {*index(root)}
        return _beginning(incomplete, sorted(ids))
    return []


def states(incomplete: str) -> list[str]:
    """Names of states."""
    from study.runs.folder import STATES

    return _beginning(incomplete, (*STATES, "broken"))


def mechanisms(incomplete: str) -> list[str]:
    """Names of mechanisms; after ``+`` those that can be joined; imports none of them."""
    from plugins.attention.core.registry import names

    before, plus, _ = incomplete.rpartition("+")
    return _beginning(incomplete, [f"{before}{plus}{name}" for name in names()])


def doors(incomplete: str) -> list[str]:
    """Kinds of data that a user may add."""
    from study.data.doors import door_names

    return _beginning(incomplete, door_names())


def clusters(incomplete: str) -> list[str]:
    """Names of the launchers, and of the profiles in the user's files."""
    from study.errors import StudyError
    from study.launch.protocol import find_launcher, launcher_names

    names = set(launcher_names())
    for name in launcher_names():
        with contextlib.suppress(StudyError, OSError):
            names |= {*find_launcher(name).clusters()}
    return _beginning(incomplete, sorted(names))


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
