"""The verbs of the analysis, which the entry point ``study.verbs`` names."""

from __future__ import annotations

import typer

from analysis.commands.attend import attend
from analysis.commands.claims import claims
from analysis.commands.collect import collect
from analysis.commands.effects import effects
from analysis.commands.export import export
from analysis.commands.items import items
from analysis.commands.plot import plot
from analysis.commands.ranks import ranks
from analysis.commands.register import register as registration
from analysis.commands.report import report
from analysis.commands.seeds import seeds
from analysis.commands.table import table

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verbs of this room to the command line."""
    verbs = (
        *(collect, table, plot, effects, ranks, items, seeds, registration, claims),
        *(report, export, attend),
    )
    for verb in verbs:
        app.command()(verb)
