"""What to run, where, and what became of it. Knows no framework.

``import study`` gives the functions of a notebook; each is imported when it is asked for::

    import study

    grid = study.load_grid("grids/embedded/encoder.yaml")
    study.plan("grids/embedded")       # a row a run: what is asked for, and its state
    study.submit("my_grid.yaml", cluster="a100")
    study.load_runs("grids/embedded")  # a row a run: what it reached, and what it costs
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any


def __getattr__(name: str) -> Any:
    """Return a function of the entry points ``study.functions``."""
    for entry in entry_points(group="study.functions", name=name):
        return entry.load()
    raise AttributeError(f"module 'study' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *entry_points(group="study.functions").names})
