"""Questions about the land cover of tiles of the Earth, made by rule from a map.

The method is that of RSVQA (Lobry et al., 2020, https://arxiv.org/abs/2003.07333), which takes
answers from a map that was made independently of the photo. Tiles and splits are those of the set
`landcover`. ::

    images/SPLIT/BLOCK/NAME.png     RGB, 128 x 128
    questions/SPLIT.jsonl           answers.json
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from plugins.contracts.dataset import Card
from plugins.openmmlab.data.earth import LICENCE, SOURCES, read_photo_and_map
from plugins.openmmlab.data.landcover import CLASSES, SPLITS, tiles
from plugins.question_answering.data.layout import write_questions
from plugins.question_answering.data.rows import Question

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CARD", "SOURCES", "prepare", "questions"]

CARD = Card(
    task="question_answering",
    content="Blue Marble photo with questions made from MODIS land-cover labels",
    licence=LICENCE,
    unit="questions",
    benchmark="RSVQA",
    composed=False,
    in_domain=True,
    packages=("numpy", "pillow"),
    notes=(
        "the questions are made by rule, and their answers are those of the map",
        "splits are disjoint geographic blocks, but neighbouring blocks resemble each other, and"
        " training tiles overlap",
        "photo and map are of different years; savanna, grassland and shrubland are ambiguous at"
        " 7 km a pixel; wetland, towns, snow and ice are not asked for",
        "the most frequent training answer to each question, without the image, is right for"
        " .57 of val: presence .69, comparison .63, area .45, main .24",
    ),
    splits=("train", "val", "test"),
)

SEED = 0
WATER = "water"
THERE = 0.02
"""Share of a tile's pixels from which on a class is there; a smaller share is not asked for."""
CLEARLY = 0.05
"""Difference of two shares that are compared."""
HALVES = 2
"""Questions of each answer, yes and no, of one type about a tile, at most; and those of area."""
AREAS = {
    "none": (0.0, 0.0),
    "under a quarter": (THERE, 0.23),
    "a quarter to a half": (0.27, 0.48),
    "over a half": (0.52, 1.0),
}
"""Answers, and the shares that have them; a share between them is not asked for."""

T = TypeVar("T")


def prepare(sources: Mapping[str, Path], out: Path, progress: Callable[[str], None]) -> dict:
    """Write tiles and questions into the folder `out`.

    Parameters
    ----------
    sources: mapping of str to Path
        The verified wheel of each package in `SOURCES`.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.

    Returns
    -------
    dict
        ``items`` (questions) and ``tiles`` of each split, ``upper_bound`` and ``question_only``.
    """
    import numpy as np

    progress("reading photo and map")
    photo, codes = read_photo_and_map(sources)
    progress("cutting tiles and asking about them")
    rng = random.Random(SEED)
    asked: dict[str, list[Question]] = {split: [] for split in SPLITS}
    number = dict.fromkeys(SPLITS, 0)
    for tile in tiles(photo, codes):
        path = f"images/{tile.split}/{tile.block}/{tile.name}.png"
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        tile.image.save(out / path)
        number[tile.split] += 1
        asked[tile.split] += questions(rng, path, _shares(np.asarray(tile.label)))
    return write_questions(out, asked) | {"tiles": number}


def questions(rng: random.Random, image: str, shares: Mapping[str, float]) -> Iterator[Question]:
    """Yield the questions about a tile by the shares of its classes, of all pixels.

    Of ``presence`` and ``comparison`` a tile gets as many that are answered yes as no.
    """
    there = [name for name, share in shares.items() if share >= THERE]
    absent = [name for name, share in shares.items() if share == 0]
    for one, other in zip(_some(rng, there), _some(rng, absent), strict=False):
        for name, answer in ((one, "yes"), (other, "no")):
            yield Question(image, f"is there {name}?", (answer,), "presence")
    pairs = [
        pair for pair in permutations(shares, 2) if shares[pair[0]] - shares[pair[1]] >= CLEARLY
    ]
    chosen = rng.sample(pairs, min(2 * HALVES, len(pairs) // 2 * 2))
    for at, (more, less) in enumerate(chosen):
        first, second = (more, less) if at % 2 else (less, more)
        answer = "yes" if at % 2 else "no"
        yield Question(image, f"is there more {first} than {second}?", (answer,), "comparison")
    areas = [
        (name, area)
        for name, share in shares.items()
        for area, (least, most) in AREAS.items()
        if least <= share <= most
    ]
    for name, area in _some(rng, areas):
        yield Question(image, f"how much of the tile is {name}?", (area,), "area")
    land = sorted((share, name) for name, share in shares.items() if name != WATER)
    (second_share, _), (share, main) = land[-2:]
    if share - second_share >= CLEARLY:
        yield Question(image, "what is the main land cover?", (main,), "main")


def _some(rng: random.Random, items: Sequence[T]) -> list[T]:
    return rng.sample(items, min(HALVES, len(items)))


def _shares(label: np.ndarray) -> dict[str, float]:
    """Return the share of each class of a tile's pixels, those that are ignored included."""
    return {name: float((label == number).mean()) for number, name in enumerate(CLASSES)}
