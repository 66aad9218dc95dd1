"""``study bench``: how fast our modules are beside those of other libraries."""

from __future__ import annotations

import typer

from study.commands.bench.attention import attention
from study.commands.bench.launcher import launcher
from study.commands.bench.launches import launches
from study.commands.bench.step import step
from study.commands.bench.training import training

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure speed and memory beside other libraries."""


for verb in (attention, launches, step, training, launcher):
    app.command()(verb)
