"""All questions about an image in one batch, beside one at a time; and so phrases of a sentence.

Three sides answer the same questions about the same images, with the networks of the papers' grids
on features of boxes. The first shares what a mechanism makes of an image's boxes. The second has
the same batch with a copy of the boxes for each question, and so tells what sharing brings. The
third has as many batches as there are questions about an image, each with one about each image:
smaller products, more calls.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from plugins.question_answering import config, probe
from plugins.question_answering.data.words import FIRST
from plugins.question_answering.grounding import config as of_phrases
from study.benchmarks.devices.choice import DEVICES
from study.benchmarks.devices.device import Device
from study.benchmarks.numbers import number, ratio
from study.benchmarks.step.made import job_of
from study.benchmarks.step.trainings import Training
from study.grid.reading import load

__all__ = ["VERSIONS", "Case", "Row", "cases", "made", "measure", "one_of_each", "sides", "tables"]

VERSIONS = ("torch", "onedl-mmengine")
"""Distributions on whose versions the numbers depend."""

GRIDS = {"question": "vqa2/glimpses.yaml", "phrase": "flickr30k/grounding.yaml"}
"""Of each unit the grid whose networks are measured."""

EACH = {"question": probe.OF_AN_IMAGE, "phrase": 3}
"""Questions about an image, and phrases of a sentence, as the sets have them on average."""

IMAGES, KNOWN = 4, 1000
WORDS = {"question": 14, "phrase": 12}
"""How long each is; 12 words are those of a sentence of Flickr30k on average."""

ROUNDS, SECONDS, MS = 3, 1.0, 1000.0
PASSES = ("forward", "forward+backward")
SIDES = ("shared", "copied", "one_by_one")
QUICK = {"channels": 16, "feature_channels": 12, "boxes": 5, "word_channels": 8}


@dataclass(frozen=True)
class Case:
    """A mechanism of one of the grids."""

    unit: str
    mechanism: str

    @property
    def name(self) -> str:
        """By which it is chosen."""
        return f"{self.unit} {self.mechanism}"


@dataclass(frozen=True)
class Row:
    """What a pass took on each side.

    Attributes
    ----------
    case: Case
        What was measured.
    kind: str
        ``forward``, or ``forward+backward`` with the loss.
    taken: mapping of str to list of float
        Of each side the seconds of each round, for all questions about all images.
    """

    case: Case
    kind: str
    taken: Mapping[str, list[float]]

    @property
    def name(self) -> str:
        """The case."""
        return self.case.name

    def milliseconds(self, side: str) -> float:
        """Return the median for one question or phrase."""
        return MS * statistics.median(self.taken[side]) / (IMAGES * EACH[self.case.unit])

    def ratio(self, side: str) -> float:
        """Return how many times longer than the shared one it takes, the median of the rounds."""
        pairs = zip(self.taken[side], self.taken["shared"], strict=True)
        return statistics.median(other / ours for other, ours in pairs)

    def to_csv(self) -> dict[str, Any]:
        """Return the columns, unrounded."""
        return {
            "unit": self.case.unit,
            "mechanism": self.case.mechanism,
            "pass": self.kind,
            "images": IMAGES,
            "each": EACH[self.case.unit],
            **{f"milliseconds_{side}": self.milliseconds(side) for side in SIDES},
            **{f"ratio_{side}": self.ratio(side) for side in SIDES[1:]},
            "rounds": len(self.taken["shared"]),
        }


def cases(grids: Path, pattern: str | None) -> list[Case]:
    """Return the mechanisms of both grids, or those whose name contains `pattern`."""
    every = [
        Case(unit, mechanism)
        for unit, path in GRIDS.items()
        for mechanism, _ in load(grids / path).cells()
    ]
    return [case for case in every if (pattern or "") in case.name]


def measure(
    chosen: Sequence[Case],
    device: str,
    grids: Path,
    quick: bool,
    begin: Callable[[str, int], None],
) -> Iterator[list[Row]]:
    """Measure one case after the other, with one thread on a CPU; yield its rows.

    Raises
    ------
    StudyError
        If there is no such device.
    """
    torch.set_num_threads(1)
    clock = DEVICES[device]()
    begin(clock.name, len(chosen))
    for case in chosen:
        torch.manual_seed(0)
        model, batch = made(case, _recipe(grids, case.unit, quick), device)
        yield [_row(case, kind, model, batch, clock, quick) for kind in PASSES]


def _row(
    case: Case, kind: str, model: Any, batch: dict[str, Tensor], clock: Device, quick: bool
) -> Row:
    calls = sides(model, batch, case.unit, kind)
    calls["shared"]()  # makes buffers, and on a GPU kernels
    taken = clock.times(calls, 1 if quick else ROUNDS, 0.0 if quick else SECONDS)
    return Row(case, kind, taken)


def sides(
    model: Any, batch: dict[str, Tensor], unit: str, kind: str
) -> dict[str, Callable[[], None]]:
    """Return what makes the same pass of all questions on each side."""
    model.train(kind != "forward")
    alone = [one_of_each(batch, unit, turn) for turn in range(EACH[unit])]
    sharing = [module for module in model.modules() if hasattr(module, "shares_memory")]

    def passes(shares: bool, batches: Sequence[dict[str, Tensor]]) -> None:
        for module in sharing:
            module.shares_memory = shares
        for each in batches:
            _pass(model, each, kind)

    return {
        "shared": partial(passes, True, [batch]),
        "copied": partial(passes, False, [batch]),
        "one_by_one": partial(passes, True, alone),
    }


def made(case: Case, recipe: dict[str, Any], device: str) -> tuple[Any, dict[str, Tensor]]:
    """Return the network, and a batch with all questions about all images."""
    training = Training("question_answering", case.mechanism, "ours", "float32")
    job = job_of(training, recipe, device, share=1, folder=Path())
    network = (
        config.network(job, KNOWN, KNOWN, {})
        if case.unit == "question"
        else of_phrases.network(job, KNOWN, {})
    )
    model = MODELS.build(network).to(device)
    boxes, number = job.recipe.boxes, IMAGES * EACH[case.unit]
    batch = {
        "inputs": torch.rand(IMAGES, boxes, job.recipe.feature_channels),
        "places": torch.rand(IMAGES, boxes, 2, 2).sort(dim=2).values.flatten(2),
        "absent": torch.zeros(IMAGES, boxes, dtype=torch.bool),
        "words": torch.randint(FIRST, FIRST + KNOWN, (number, WORDS[case.unit])),
    }
    of_each = torch.arange(IMAGES).repeat_interleave(EACH[case.unit])
    if case.unit == "question":
        batch["of_image"] = of_each
        batch["scores"] = torch.rand(number, KNOWN)
    else:
        batch["of_image"], batch["of_sentence"] = torch.arange(IMAGES), of_each
        batch["outside"] = torch.zeros(number, WORDS[case.unit], dtype=torch.bool)
        batch["right"] = torch.rand(number, boxes).round()
    return model, {name: each.to(device) for name, each in batch.items()}


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Yield a table for each unit and pass: milliseconds of one, and the ratios."""
    for unit, kind in dict.fromkeys((row.case.unit, row.kind) for row in rows):
        title = f"{kind}: milliseconds a {unit}, {EACH[unit]} an image"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
        for column in ("", "shared", "copied", "×", "one\nby one", "×"):
            table.add_column(column, justify="right" if column else "left")
        for row in rows:
            if (row.case.unit, row.kind) == (unit, kind):
                cells: list[Any] = [number(row.milliseconds("shared"))]
                for side in SIDES[1:]:
                    cells += [number(row.milliseconds(side)), ratio(row.ratio(side))]
                table.add_row(row.case.mechanism, *cells)
        yield table


def _recipe(grids: Path, unit: str, quick: bool) -> dict[str, Any]:
    return load(grids / GRIDS[unit]).recipe | (QUICK if quick else {})


def one_of_each(batch: dict[str, Tensor], unit: str, turn: int) -> dict[str, Tensor]:
    """Return the batch with the one question about each image whose turn it is."""
    images = torch.arange(IMAGES, device=batch["words"].device)
    numbers = images * EACH[unit] + turn
    of_each = ("words", "scores", "outside", "right")
    found = {name: x[numbers] if name in of_each else x for name, x in batch.items()}
    return found | {"of_image" if unit == "question" else "of_sentence": images}


def _pass(model: Any, batch: dict[str, Tensor], kind: str) -> None:
    labels = ("scores", "right")
    if kind == "forward":
        with torch.no_grad():
            model(**{name: x for name, x in batch.items() if name not in labels})
        return
    model.zero_grad()
    sum(model(**batch, mode="loss").values()).backward()
