"""Costs that were counted before: ``.costs/`` beside the data sets, a small file each."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from study import data
from study.files import BrokenFile, read_json, write_json
from study.runs.code import content, outside
from study.runs.provenance import modules_of, packages_of

__all__ = ["Counted"]

FOLDER = ".costs"


class Counted:
    """What models cost, by all that it depends on: configuration, data, code and packages.

    A cost is the same for every seed, and counting builds the model, which takes a second.
    """

    def __init__(self) -> None:
        self._folder = data.data_root() / FOLDER
        self._ours, self._installed = content(), functools.cache(_installed)

    def find(self, science: dict[str, Any]) -> dict[str, Any] | None:
        """Return the cost of a science configuration; None if it is not known."""
        with contextlib.suppress(BrokenFile, OSError):
            return read_json(self._file(science))
        return None

    def keep(self, science: dict[str, Any], cost: dict[str, Any]) -> None:
        """Remember a cost, where there is a place for it."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(self._file(science), cost)

    def _file(self, science: dict[str, Any]) -> Path:
        name = science["recipe"]["data"]
        outputs = data.outputs(name)
        depends = [
            {key: value for key, value in science.items() if key != "seed"},
            data.card(name)["fingerprint"] if outputs is None else outputs,
            self._ours,
            self._installed(science["task"], frozenset(modules_of(science))),
            os.environ.get("STUDY_FUSED"),
        ]
        text = json.dumps(depends, sort_keys=True, default=str)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _installed(task: str, modules: frozenset[str]) -> list[Any]:
    return [outside(modules), packages_of(task, modules)]
