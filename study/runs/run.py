"""A run: one cell of a grid with one seed, and the identity that follows from what it computes."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.errors import StudyError
from study.files import read_json, write_json
from study.runs.folder import SCHEMA, RunFolder

__all__ = [
    *(
        "Run",
        "complete",
        "default_root",
        "differences",
        "elsewhere",
        "existing_root",
        "open_folder",
    ),
    *("identity", "root_to_fill", "science_hash"),
]


def default_root() -> Path:
    """Return where run folders are kept: $STUDY_RUNS, else ``results/runs`` here."""
    return Path(os.environ.get("STUDY_RUNS") or "results/runs").expanduser()


def root_to_fill(named: Path | None, smoke: bool) -> Path:
    """Return the folder to train runs in: `named`, else the default, or a new one for smoke runs.

    A smoke run shows whether everything works now, so no earlier one counts as done.
    """
    beside = default_root().parent / "smoke" / time.strftime("%Y%m%d-%H%M%S")
    return (named or (beside if smoke else default_root())).resolve()


def elsewhere(root: Path) -> str:
    """Return what commands need to find runs in `root`: nothing, or ``--runs``."""
    return "" if root.resolve() == default_root().resolve() else f" --runs {root}"


def existing_root(named: Path | None) -> Path:
    """Return the folder of runs to read: `named`, which must exist, else the default one."""
    if named is not None and not named.is_dir():
        raise StudyError(f"no such folder: {named.resolve()}")
    return named or default_root()


def science_hash(science: dict[str, Any]) -> str:
    """Return the first 64 bits of the SHA-256 of a science configuration, as 16 hex digits."""
    text = json.dumps(identity(science), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def identity(science: dict[str, Any]) -> dict[str, Any]:
    """Return what identifies a run: the science configuration without unused fields."""
    if "unused" not in science:
        return science
    recipe = {k: v for k, v in science["recipe"].items() if k not in science["unused"]}
    return {**science, "recipe": recipe}


def complete(science: dict[str, Any]) -> dict[str, Any]:
    """Return a science configuration with its recipe's defaults, for people to read.

    Return it unchanged if the task is not installed, or now has other fields.
    """
    from plugins.contracts.tasks import find_task

    try:
        recipe = find_task(science["task"]).Recipe.model_validate(science["recipe"])
    except (KeyError, ValueError):
        return science
    return {**science, "recipe": recipe.complete()}


@dataclass(frozen=True)
class Run:
    """One run, fully resolved.

    Attributes
    ----------
    grid: str
        Name of the grid that asks for it, such as ``demo/detection``.
    science: dict
        All that decides the outcome: task, mechanism, sites, seed, the task's version, recipe. It
        may also have ``unused``, the fields of the recipe that the mechanism does not depend on,
        and ``mechanisms``, the versions of mechanisms beyond the first.
    """

    grid: str
    science: dict[str, Any]

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.science["task"]

    @property
    def mechanism(self) -> str:
        """The mechanism's word."""
        return self.science["mechanism"]

    @property
    def sites(self) -> tuple[str, ...]:
        """Where the mechanism stands."""
        return tuple(self.science["sites"])

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self.science["seed"]

    @property
    def data(self) -> str:
        """Name of the data set."""
        return self.science["recipe"]["data"]

    @property
    def label(self) -> str:
        """The readable half of the id."""
        parts = [self.task, self.data, self.mechanism, ".".join(self.sites), f"s{self.seed}"]
        # A site may be a pattern of paths, with characters that mean something to a shell.
        return re.sub(r"[*?\[\]]", "_", "-".join(filter(None, parts)))

    @functools.cached_property
    def hash(self) -> str:
        """The other half."""
        return science_hash(self.science)

    @functools.cached_property
    def configuration(self) -> str:
        """Hash of all that decides the outcome but the seed."""
        return science_hash({**self.science, "seed": 0})

    @property
    def id(self) -> str:
        """Name of the run folder."""
        return f"{self.label}-{self.hash}"


def open_folder(run: Run, root: Path) -> RunFolder:
    """Return the run's folder; make it on first use, compare it with `run` on later ones.

    Raises
    ------
    StudyError
        If the folder was made from another configuration; the message shows what differs.
    """
    folder = RunFolder(root / run.id)
    known = read_json(folder.path / "run.json") if folder.path.exists() else None
    if known is None:
        (folder.path / "attempts").mkdir(parents=True, exist_ok=True)
        record = {
            "schema": SCHEMA,
            "id": run.id,
            "label": run.label,
            "hash": run.hash,
            "grid": run.grid,
            "science": run.science,
        }
        write_json(folder.path / "run.json", record)
    elif identity(known["science"]) != identity(run.science):
        then, now = complete(known["science"]), complete(run.science)
        raise StudyError(
            f"{folder.path} was made from another configuration:\n"
            + "\n".join(f"  {line}" for line in differences(then, now))
            + "\nmove the folder away to train this run anew"
        )
    return folder


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Return one line ``key: old -> new`` for each leaf in which two configurations differ."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key, "(absent)"), new.get(key, "(absent)")
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before} -> {after}")
    return lines
