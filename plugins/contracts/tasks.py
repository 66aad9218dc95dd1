"""Find the task plugins by name, through the entry points of the group ``study.tasks``."""

from __future__ import annotations

import functools
import importlib
from importlib.metadata import entry_points
from typing import Any

from plugins.contracts.names import UnknownName, nearest

__all__ = ["package_of", "recipe_module", "task_names", "train_module"]


@functools.cache
def _packages() -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group="study.tasks")}


def task_names() -> list[str]:
    """Return the names of all installed tasks."""
    return sorted(_packages())


def recipe_module(task: str) -> Any:
    """Import the torch-free half of a task, a :class:`plugins.contracts.job.RecipeModule`."""
    return _import(task, "recipe")


def train_module(task: str) -> Any:
    """Import the half of a task that brings its framework, a :class:`TrainModule`.

    Takes seconds; only the processes that build models call it.
    """
    return _import(task, "train")


def package_of(task: str) -> str:
    """Return the name of the package behind a task."""
    if task not in _packages():
        raise UnknownName(f"unknown task {task!r}{nearest(task, _packages())}")
    return _packages()[task]


def _import(task: str, half: str) -> Any:
    return importlib.import_module(f"{package_of(task)}.{half}")
