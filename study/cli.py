"""The command `study`: its verbs, and how errors leave it."""

from __future__ import annotations

import gc
import io
import os
import sys
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from plugins.contracts.names import UnknownName
from study.commands import (
    archive,
    bench,
    cancel,
    data,
    doctor,
    evaluate,
    flops,
    inspect,
    logs,
    mechanisms,
    note,
    plan,
    probe,
    retry,
    run,
    status,
    submit,
    triage,
    watch,
)
from study.errors import StudyError, denied

__all__ = ["app", "main"]

app = typer.Typer(
    name="study",
    help="Which factors of spatial attention matter? Train a grid, compare accuracy with cost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
DISTRIBUTION = "spatial-attention-study"
COLLECT_SELDOM = (100_000, 1_000, 1_000)  # objects and collections before each generation's turn

VERBS = (
    doctor, mechanisms, flops, plan, probe, run, submit, retry, cancel, status, watch, logs,
    inspect, note, evaluate, triage, archive,
)  # fmt: skip
for family in VERBS:
    family.register(app)
app.add_typer(data.app, name="data", help="Get, add and list data sets; get pretrained weights.")
app.add_typer(bench.app, name="bench", help="Measure speed and memory beside other libraries.")
for entry in sorted(entry_points(group="study.verbs"), key=lambda entry: entry.name):
    entry.load()(app)


def _version(wanted: bool) -> None:
    if not wanted:
        return
    from study.runs.code import git_state

    code = git_state()
    commit = code["commit"][:12] or "not from a git checkout"
    changes = ", with uncommitted changes" if code["dirty"] else ""
    typer.echo(f"study {version(DISTRIBUTION)} ({commit}{changes})")
    raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show version and commit, and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; what the user can mend becomes a sentence and exit code 2."""
    # Ten thousand records are no garbage: looking for some among them takes a quarter of the time.
    gc.set_threshold(*COLLECT_SELDOM)
    # A terminal that cannot show a letter shows a question mark instead of ending the program.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except (StudyError, UnknownName) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader has seen enough. Nothing more may be written, not even at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except PermissionError as error:
        print(f"error: {denied(error)}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(2)
