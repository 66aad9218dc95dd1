"""Scenes in which one kind of attention, and no other, can know the answer.

A scene has objects on a grid of cells. An object has a class, of ten, and an ink. About many of
the objects a question is asked whose answer stands on another one, far away. Five kinds of scene
differ in how the other one is found:

========== ======== ===============================================================================
kind       needs    the answer about an object is
========== ======== ===============================================================================
twin       E1       the ink of the other object of its class
pointer    E2       the class of the object that stands where its own class points to
salient    E3       the class of the one object with the salient ink
offset     E4       the class of the object that stands three cells to its right
ally       E1, E2   the class of the object of its ink that lies to the side that its class says
========== ======== ===============================================================================

Each scene has each class twice and each of the four common inks five times, so that means over a
scene tell nothing. The object with the answer is `FAR` cells away or farther: 3x3 taps at one of
them have no cell in common with those at the other. (So what is near is not the answer, which tells
a little.) There are ten directions in `pointer`, more than an attention has heads, so that no head
for each can stand in for E2. A ring of further objects lies around the cells: a convolution without
padding takes it away, and no border tells it where in the scene a cell is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from plugins.contracts.needs import Need

__all__ = [
    "CELLS",
    "CLASSES",
    "FAR",
    "INKS",
    "INSTEAD",
    "KINDS",
    "NEEDS",
    "NOTHING",
    "RING",
    "SALIENT",
    "Scene",
    "draw",
    "need",
    "outputs",
]

CELLS = 6
"""Rows and columns in which questions are asked."""

RING = 1
"""Further rows and columns on each side."""

CLASSES, INKS = 10, 5
COMMON_INKS = INKS - 1
SALIENT = INKS - 1
"""The ink that one object of a scene of the kind ``salient`` has, and none of another kind."""

FAR = 3
NOTHING = -1
"""What is in an empty cell, and the answer where nothing is asked."""

Numbers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


class Scene(NamedTuple):
    """One scene.

    Attributes
    ----------
    classes, inks: numpy.ndarray
        Of the objects, (CELLS + 2 RING, CELLS + 2 RING).
    answers: numpy.ndarray
        (CELLS, CELLS).
    places: numpy.ndarray
        Where each answer stands, (CELLS, CELLS): row times CELLS plus column.
    """

    classes: Numbers
    inks: Numbers
    answers: Numbers
    places: Numbers


Found = dict[int, int]
"""The object that has the answer, by the object that is asked about; both by cell."""


def _far(one: int, other: int) -> bool:
    down, right = _between(one, other)
    return max(abs(down), abs(right)) >= FAR


def _between(one: int, other: int) -> tuple[int, int]:
    """Return the rows down and the columns right from one cell to another."""
    return other // CELLS - one // CELLS, other % CELLS - one % CELLS


def _at(cell: int, down: int, right: int) -> int | None:
    row, column = cell // CELLS + down, cell % CELLS + right
    inside = 0 <= row < CELLS and 0 <= column < CELLS
    return row * CELLS + column if inside else None


def _twins(classes: Numbers, inks: Numbers) -> Found:
    objects = np.flatnonzero(classes >= 0)
    return {int(a): int(b) for a in objects for b in objects if a != b and classes[a] == classes[b]}


DIRECTIONS = (
    *((-3, 0), (3, 0), (0, -3), (0, 3), (-3, -2)),
    *((-2, 3), (3, 2), (2, -3), (-3, 2), (3, -2)),
)
"""Where each class points to: rows down, columns right."""


def _pointed(classes: Numbers, inks: Numbers) -> Found:
    return _moved(classes, lambda cell: DIRECTIONS[classes[cell]])


OFFSET = (0, FAR)


def _offset(classes: Numbers, inks: Numbers) -> Found:
    return _moved(classes, lambda cell: OFFSET)


def _moved(classes: Numbers, by: Callable[[int], tuple[int, int]]) -> Found:
    found = {}
    for cell in np.flatnonzero(classes >= 0):
        other = _at(int(cell), *by(int(cell)))
        if other is not None and classes[other] >= 0:
            found[int(cell)] = other
    return found


def _salient(classes: Numbers, inks: Numbers) -> Found:
    (most,) = np.flatnonzero(inks == SALIENT)
    return {int(cell): int(most) for cell in np.flatnonzero(classes >= 0) if cell != most}


SIDES: tuple[Callable[[int, int], bool], ...] = (
    lambda down, right: down < 0 and abs(right) <= -down,
    lambda down, right: down > 0 and abs(right) <= down,
    lambda down, right: right < 0 and abs(down) <= -right,
    lambda down, right: right > 0 and abs(down) <= right,
)
"""Whether another cell lies above, below, to the left, to the right; a class says by modulo 4."""


def _allies(classes: Numbers, inks: Numbers) -> Found:
    found = {}
    objects = np.flatnonzero(classes >= 0)
    for cell in objects:
        side = SIDES[classes[cell] % len(SIDES)]
        allies = [
            int(other)
            for other in objects
            if inks[other] == inks[cell]
            and _far(int(cell), int(other))
            and side(*_between(int(cell), int(other)))
        ]
        if len(allies) == 1:
            found[int(cell)] = allies[0]
    return found


KINDS: dict[str, Callable[[Numbers, Numbers], Found]] = {
    "twin": _twins,
    "pointer": _pointed,
    "salient": _salient,
    "offset": _offset,
    "ally": _allies,
}


def outputs(kind: str) -> int:
    """Return how many answers there are."""
    return COMMON_INKS if kind == "twin" else CLASSES


NEEDS: dict[str, tuple[str, ...]] = {
    "twin": ("E1",),
    "pointer": ("E2",),
    "salient": ("E3",),
    "offset": ("E4",),
    "ally": ("E1", "E2"),
}
"""The terms that an answer needs."""

INSTEAD = {"salient": ("E1",), "offset": ("E2",), "ally": ("E1", "E4")}
"""Terms that can do the same: all queries ask for the salient ink; all point to the right; each of
four heads looks to one side, and E1 leaves it to the queries whose class says so."""


def need(kind: str) -> Need:
    """Return what the answers about a kind of scene need."""
    return Need(frozenset(NEEDS[kind]), 1 / outputs(kind), frozenset(INSTEAD.get(kind, ())))


def draw(kind: str, chance: np.random.Generator) -> Scene:
    """Draw a scene of a kind."""
    side, inner = CELLS + 2 * RING, slice(RING, RING + CELLS)
    each = 2 * CLASSES
    density = each / CELLS**2
    there = chance.random((side, side)) < density
    classes = np.where(there, chance.integers(CLASSES, size=(side, side)), NOTHING)
    inks = np.where(there, chance.integers(COMMON_INKS, size=(side, side)), NOTHING)
    own, colours = np.full((2, CELLS**2), NOTHING)
    cells = chance.permutation(CELLS**2)[:each]
    own[cells] = chance.permutation(np.arange(each) % CLASSES)
    colours[cells] = chance.permutation(np.arange(each) % COMMON_INKS)
    if kind == "salient":
        colours[chance.choice(cells)] = SALIENT
    answers, places = np.full((2, CELLS**2), NOTHING)
    told = colours if kind == "twin" else own
    for cell, other in KINDS[kind](own, colours).items():
        if _far(cell, other):
            answers[cell], places[cell] = told[other], other
    square = (CELLS, CELLS)
    classes[inner, inner], inks[inner, inner] = own.reshape(square), colours.reshape(square)
    return Scene(classes, inks, answers.reshape(square), places.reshape(square))
