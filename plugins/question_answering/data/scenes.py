"""Digit scenes: questions about handwritten digits on an aerial photo, and phrases that name them.

One generator makes the questions, the phrases, and what each is about: classes, inks, boxes and
strokes of all digits. Digits and photo are real, their combination is not.

::

    images/SPLIT/0001.png     RGB, 96 x 96
    masks/SPLIT/0001.png      grey, the number of the digit that covers a pixel, 0 for none
    objects/SPLIT.jsonl       {"image": ..., "mask": ..., "objects": [{"class": "six", "ink":
                              "white", "box": [left, top, width, height]}, ...]}, from number 1 on
    questions/SPLIT.jsonl     phrases/SPLIT.jsonl, answers.json: as in every set
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.contracts.dataset import Card
from plugins.openmmlab.data.composing import (
    BLACK,
    DIGITS,
    SOURCES,
    WHITE,
    compose,
    part,
    read_parts,
)
from plugins.openmmlab.data.composing import Digit as Drawn
from plugins.openmmlab.data.handwriting import CLASSES, scaled
from plugins.question_answering.data.asking import INKS, NAMES, Digit, phrases, questions
from plugins.question_answering.data.layout import write_lines, write_phrases, write_questions
from plugins.question_answering.data.rows import Box, Phrase, Question

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CARD", "SCENES", "SIDE", "SOURCES", "prepare"]

CARD = Card(
    task="question_answering",
    content="handwritten digits on a real aerial photo, with questions made by rule",
    licence="MIT",
    unit="questions",
    benchmark="CLEVR",
    composed=True,
    in_domain=True,
    packages=("pillow",),
    notes=(
        "the scenes are composed; no digit and no pixel of the photo is in two splits",
        "all backgrounds are of one photo",
        "the most frequent training answer to each question, without the image, is right for"
        " .33 of val: exist .49, count .23, compare .54, query .11",
        "boxes and masks are exact: they are the ink that was drawn",
        "the package of the digits says MIT; it did not make them, and MNIST is elsewhere"
        " distributed under other terms",
    ),
    splits=("train", "val", "test"),
)

SCENES = {"train": 4000, "val": 700, "test": 700}
SEEDS = {"train": 1, "val": 2, "test": 3}
SIDE = 96
LONGER_SIDE = (14, 26)
DIGITS_OF_SCENE = (3, 5)
WITH_TWO_ALIKE = 0.8
"""Share of scenes of which two digits have one class: a phrase must say which of them is meant."""
GREYS = dict(zip(INKS, (WHITE, BLACK), strict=True))


def prepare(sources: Mapping[str, Path], out: Path, progress: Callable[[str], None]) -> dict:
    """Write scenes, masks, objects, questions and phrases into the folder `out`.

    Parameters
    ----------
    sources: mapping of str to Path
        The verified file of each package in `SOURCES`.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.

    Returns
    -------
    dict
        ``items`` (questions), ``scenes`` and ``phrases`` of each split, ``upper_bound`` and
        ``question_only``.
    """
    progress("reading the digits")
    strips, digits = read_parts(sources)
    asked: dict[str, list[Question]] = {}
    named: dict[str, list[Phrase]] = {}
    for split, number in SCENES.items():
        progress(f"composing {number} {split} scenes")
        rng = random.Random(SEEDS[split])
        pools = [part(known, *DIGITS[split]) for known in digits]
        asked[split], named[split], rows = [], [], []
        for folder in ("images", "masks"):
            (out / folder / split).mkdir(parents=True)
        for each in range(number):
            path, mask = (f"{kind}/{split}/{each:04d}.png" for kind in ("images", "masks"))
            kinds = _kinds(rng)
            drawn = [_draw(rng, pools, *kind) for kind in kinds]
            image, boxes = compose(rng, strips[split], SIDE, drawn)
            image.save(out / path)
            _mask(drawn, boxes).save(out / mask)
            scene = [Digit(NAMES[c], ink, b) for (c, ink), b in zip(kinds, boxes, strict=True)]
            objects = [{"class": d.name, "ink": d.ink, "box": _box(d)} for d in scene]
            rows.append({"image": path, "mask": mask, "objects": objects})
            asked[split] += [
                Question(path, a.question, (a.answer,), a.type, boxes=tuple(map(_box, a.named)))
                for a in questions(rng, scene)
            ]
            named[split] += [
                Phrase(path, n.phrase, (_box(n.digit),), (n.type,)) for n in phrases(rng, scene)
            ]
        write_lines(out / "objects" / f"{split}.jsonl", rows)
    counts = write_questions(out, asked)
    return counts | {"scenes": dict(SCENES), "phrases": write_phrases(out, named)}


def _kinds(rng: random.Random) -> list[tuple[int, str]]:
    """Return class and ink of each digit; every number of white ones is equally likely."""
    number = rng.randint(*DIGITS_OF_SCENE)
    alike = rng.random() < WITH_TWO_ALIKE
    classes = rng.sample(range(len(CLASSES)), number - alike)
    classes += classes[:1] * alike
    white = rng.randint(0, number)
    inks = [INKS[0]] * white + [INKS[1]] * (number - white)
    rng.shuffle(inks)
    return list(zip(classes, inks, strict=True))


def _draw(rng: random.Random, pools: Sequence[Sequence[Image]], label: int, ink: str) -> Drawn:
    digit = scaled(rng.choice(pools[label]), rng.randint(*LONGER_SIDE))
    return Drawn(digit, rng.randint(*GREYS[ink]))


def _mask(drawn: Sequence[Drawn], boxes: Sequence[tuple[int, int, int, int]]) -> Image:
    """Return the number of the digit whose ink a pixel has, from 1 on."""
    from PIL import Image

    mask = Image.new("L", (SIDE, SIDE))
    for number, (digit, box) in enumerate(zip(drawn, boxes, strict=True), 1):
        mask.paste(number, box, digit.ink.point([0] + [255] * 255))
    return mask


def _box(digit: Digit) -> Box:
    """Return left, top, width and height."""
    left, top, right, bottom = digit.box
    return left, top, right - left, bottom - top
