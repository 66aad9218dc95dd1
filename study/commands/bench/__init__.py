"""``study bench``: how fast modules are beside those of others, and how often verdicts err."""

from __future__ import annotations

import typer

from study.commands.bench.attention import attention
from study.commands.bench.launcher import launcher
from study.commands.bench.launches import launches
from study.commands.bench.questions import questions
from study.commands.bench.step import step
from study.commands.bench.training import training
from study.commands.bench.verdicts import verdicts

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure speed and memory beside other libraries, and the error rates of verdicts."""


for verb in (attention, launches, step, training, questions, launcher, verdicts):
    app.command()(verb)
