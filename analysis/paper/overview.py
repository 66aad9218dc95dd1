"""The four panels of the paper's Figure 2, accuracy against MACs, and one for each other task.

Zhu et al. 2019, https://arxiv.org/abs/1904.05873: detection, segmentation, and translation with the
mechanism in self-attention and in encoder-decoder attention.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from analysis.figures.accuracy_cost import name_points, notes
from analysis.figures.drawing import panel
from analysis.figures.drawing.page import page, settle, title_panel
from analysis.figures.drawing.panel import MACS
from analysis.figures.drawing.style import STYLE, write
from analysis.figures.kind import Kind
from analysis.stats.group import Group

__all__ = ["OVERVIEW", "PANELS", "Choice", "choose", "draw", "figure"]

NAME = "overview"
WITHOUT = "none"
SELF = {"encoder", "decoder", "self"}

Panel = tuple[str, Callable[[Group], bool]]

PANELS: tuple[Panel, ...] = (
    ("Detection", lambda g: g.task == "detection"),
    ("Segmentation", lambda g: g.task == "segmentation"),
    (
        "Translation, self-attention",
        lambda g: g.task == "translation" and set(g.sites.split(".")) <= SELF,
    ),
    (
        "Translation, encoder-decoder attention",
        lambda g: g.task == "translation" and g.sites == "cross",
    ),
)
"""Titles of the paper's panels, and which groups belong to each."""

PAPERS = {"detection", "segmentation", "translation"}


@dataclass(frozen=True)
class Choice:
    """What a panel shows: a group if there is one, and how many others it stands for."""

    title: str
    group: Group | None
    others: int


def choose(groups: Sequence[Group]) -> list[Choice]:
    """Choose for each panel the group with the most finished runs; on a tie the first."""
    choices = []
    for title, belongs in [*PANELS, *_others(groups)]:
        fitting = [g for g in groups if belongs(g) and len(panel.drawn(g, MACS))]
        best = max(fitting, key=lambda g: len(g.done), default=None)
        # A panel without a mechanism compares nothing; the paper draws no other line.
        chosen = None if best is None else replace(best, baseline=WITHOUT)
        choices.append(Choice(title, chosen, max(len(fitting) - 1, 0)))
    return choices


def _others(groups: Sequence[Group]) -> list[Panel]:
    """Return a panel for each task that the paper has not."""

    def of(task: str) -> Panel:
        title = task[0].upper() + task[1:].replace("_", " ")
        return title, lambda group: group.task == task

    return [of(task) for task in sorted({group.task for group in groups} - PAPERS)]


def draw(groups: Sequence[Group], out: Path) -> list[Path]:
    """Write ``overview.png``, ``.svg`` and ``.pdf`` into the folder `out`, if there is a panel."""
    choices = choose(groups)
    if all(choice.group is None for choice in choices):
        return []
    with mpl.rc_context(STYLE):
        return write(figure(choices), out / NAME)


def figure(choices: Sequence[Choice]) -> Figure:
    """Draw the panels that have runs; those of the paper keep its letters."""
    lettered = [
        (f"({letter})", choice.title, choice.group)
        for letter, choice in zip(string.ascii_lowercase, choices, strict=False)
        if choice.group is not None
    ]
    sentences = notes([group for _, _, group in lettered], MACS)
    sentences += [f"Recipe of {at}: {g.variant}." for at, _, g in lettered if g.variant]
    left_out = [
        f"{choice.others} of ({letter})"
        for letter, choice in zip(string.ascii_lowercase, choices, strict=False)
        if choice.others
    ]
    if left_out:
        sentences.append(
            "Each panel shows the data, sites and recipe with the most finished runs; left out: "
            f"{', '.join(left_out)}."
        )
    heading = "Accuracy against the cost of the mechanism"
    shown = "; ".join(
        f"{at} {title[0].lower()}{title[1:]}, {group.data} at {group.sites}"
        for at, title, group in lettered
    )
    image, grid = page(heading, len(lettered), sentences, caption=f"{heading}: {shown}.")
    for axes, (at, title, group) in zip(grid, lettered, strict=True):
        panel.points(axes, group, MACS)
        title_panel(axes, f"{at} {title}\n{group.data} · {group.sites}")
    settle(image)
    name_points(image, grid, [group for _, _, group in lettered], MACS)
    return image


OVERVIEW = Kind(
    "Accuracy against the cost of the mechanism",
    "a finished run with known MACs",
    draw,
    rank=10,
)
