"""Find the tasks by name, through the entry points of the group ``study.tasks``."""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points

from plugins.contracts.metric import Metric
from plugins.contracts.names import UnknownName, nearest
from plugins.contracts.task import Task

__all__ = ["find_task", "metric_of", "package_of", "task_names"]


@functools.cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group="study.tasks")}


def task_names() -> list[str]:
    """Return the names of all installed tasks."""
    return sorted(_entries())


@functools.cache
def find_task(name: str) -> Task:
    """Return the task of a name; no framework is imported.

    Raises
    ------
    UnknownName
        If none is installed under it.
    TypeError
        If what is installed is no task.
    """
    entry = _entries().get(name)
    if entry is None:
        raise UnknownName(f"unknown task {name!r}{nearest(name, _entries())}")
    kind = entry.load()
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise TypeError(f"{entry.value}, the task {name!r}, is no class derived from Task")
    return kind()


@functools.cache
def metric_of(task: str, name: str) -> Metric:
    """Return the definition of a metric; a plain one where the task is not installed."""
    try:
        return find_task(task).metric(name)
    except UnknownName:
        return Metric(name)


def package_of(name: str) -> str:
    """Return the name of the package that a task comes from."""
    return type(find_task(name)).__module__.partition(".")[0]
