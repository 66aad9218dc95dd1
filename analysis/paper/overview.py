"""The four panels of the paper's Figure 2: accuracy against MACs, for each task and site.

Zhu et al. 2019, https://arxiv.org/abs/1904.05873: detection, segmentation, and translation with the
mechanism in self-attention and in encoder-decoder attention.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from analysis.figures import panel
from analysis.figures.accuracy_cost import notes
from analysis.figures.page import page, settle
from analysis.figures.panel import MACS
from analysis.figures.style import PANEL_TITLE, STYLE, write
from analysis.stats.summary import Summary

__all__ = ["PANELS", "Choice", "choose", "draw", "figure"]

NAME = "overview"
WITHOUT = "none"
SELF = {"encoder", "decoder", "self"}

PANELS: tuple[tuple[str, Callable[[Summary], bool]], ...] = (
    ("Detection", lambda s: s.task == "detection"),
    ("Segmentation", lambda s: s.task == "segmentation"),
    (
        "Translation, self-attention",
        lambda s: s.task == "translation" and set(s.sites.split(".")) <= SELF,
    ),
    (
        "Translation, encoder-decoder attention",
        lambda s: s.task == "translation" and s.sites == "cross",
    ),
)
"""Titles of the panels, and which summaries belong to each."""


@dataclass(frozen=True)
class Choice:
    """What a panel shows: a summary if there is one, and how many others it stands for."""

    title: str
    summary: Summary | None
    others: int


def choose(summaries: Sequence[Summary]) -> list[Choice]:
    """Choose for each panel the summary with the most finished runs; the first of equal ones."""
    choices = []
    for title, belongs in PANELS:
        fitting = [s for s in summaries if belongs(s) and len(panel.drawn(s, MACS))]
        best = max(fitting, key=lambda s: s.rows["n"].sum(), default=None)
        # Without a mechanism nothing is compared; the paper draws no other line.
        chosen = None if best is None else replace(best, baseline=WITHOUT)
        choices.append(Choice(title, chosen, max(len(fitting) - 1, 0)))
    return choices


def draw(summaries: Sequence[Summary], out: Path) -> list[Path]:
    """Write ``overview.png``, ``.svg`` and ``.pdf`` into the folder `out`, if there is a panel."""
    choices = choose(summaries)
    if all(choice.summary is None for choice in choices):
        return []
    with mpl.rc_context(STYLE):
        return write(figure(choices), out / NAME)


def figure(choices: Sequence[Choice]) -> Figure:
    """Draw the panels that have runs; each keeps the letter that it has in the paper's figure."""
    lettered = [
        (f"({letter})", choice.title, choice.summary)
        for letter, choice in zip("abcd", choices, strict=True)
        if choice.summary is not None
    ]
    sentences = notes([summary for _, _, summary in lettered], MACS)
    sentences += [f"Recipe of {at}: {s.variant}." for at, _, s in lettered if s.variant]
    left_out = [f"{c.others} of ({at})" for at, c in zip("abcd", choices, strict=True) if c.others]
    if left_out:
        sentences.append(
            "Each panel shows the data, sites and recipe with the most finished runs; left out: "
            f"{', '.join(left_out)}."
        )
    image, grid = page("Accuracy against the cost of the mechanism", len(lettered), sentences)
    for axes, (at, title, summary) in zip(grid, lettered, strict=True):
        panel.points(axes, summary, MACS)
        axes.set_title(f"{at} {title}\n{summary.data} · {summary.sites}", **PANEL_TITLE)
    settle(image)
    for axes, (_, _, summary) in zip(grid, lettered, strict=True):
        panel.names(axes, summary, MACS)
    return image
