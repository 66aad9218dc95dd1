"""All questions about an image at once, beside one at a time; and so phrases of a sentence.

Both sides answer the same questions about the same images, with the networks of the papers' grids
on features of boxes. They differ in what is shared: what a mechanism makes of an image's boxes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.contracts.tasks import find_task
from plugins.question_answering import config, probe
from plugins.question_answering.data.words import FIRST
from plugins.question_answering.grounding import config as of_phrases
from study.benchmarks.devices.choice import DEVICES
from study.benchmarks.devices.device import Device
from study.benchmarks.numbers import number, ratio
from study.grid.reading import load

__all__ = ["VERSIONS", "Case", "Row", "cases", "measure", "tables"]

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
PASSES = ("evaluation", "training")
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
    """What an evaluation, or a step without the optimizer, took on both sides.

    Attributes
    ----------
    case: Case
        What was measured.
    kind: str
        ``evaluation``, or ``training``.
    at_once, one_by_one: list of float
        Seconds of each round, for all questions about all images.
    """

    case: Case
    kind: str
    at_once: list[float]
    one_by_one: list[float]

    @property
    def name(self) -> str:
        """The case."""
        return self.case.name

    def milliseconds(self, taken: list[float]) -> float:
        """Return the median for one question or phrase."""
        return MS * statistics.median(taken) / (IMAGES * EACH[self.case.unit])

    @property
    def ratio(self) -> float:
        """Median over the rounds of how many times longer one by one takes."""
        pairs = zip(self.one_by_one, self.at_once, strict=True)
        return statistics.median(other / own for other, own in pairs)

    def to_csv(self) -> dict[str, Any]:
        """Return the columns, unrounded."""
        return {
            "unit": self.case.unit,
            "mechanism": self.case.mechanism,
            "pass": self.kind,
            "images": IMAGES,
            "each": EACH[self.case.unit],
            "milliseconds_at_once": self.milliseconds(self.at_once),
            "milliseconds_one_by_one": self.milliseconds(self.one_by_one),
            "ratio": self.ratio,
            "rounds": len(self.at_once),
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
    model.train(kind == "training")
    alone = [_only(batch, case.unit, turn) for turn in range(EACH[case.unit])]

    def one_by_one() -> None:
        for each in alone:
            _pass(model, each, kind)

    def at_once() -> None:
        _pass(model, batch, kind)

    at_once()  # makes buffers, and on a GPU kernels
    calls = {"at once": at_once, "one by one": one_by_one}
    found = clock.times(calls, 1 if quick else ROUNDS, 0.0 if quick else SECONDS)
    return Row(case, kind, *found.values())


def made(case: Case, recipe: dict[str, Any], device: str) -> tuple[Any, dict[str, Tensor]]:
    """Return the network, and a batch with all questions about all images."""
    job = _job(case, recipe, device)
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
    """Yield a table for each unit: milliseconds of one, and the ratio."""
    for unit in dict.fromkeys(row.case.unit for row in rows):
        title = f"milliseconds a {unit} · {EACH[unit]} an image, {IMAGES} images"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
        table.add_column("")
        for kind in PASSES:
            for column in (f"{kind}\nat once", "\none by one", "\n×"):
                table.add_column(column, justify="right")
        own = [row for row in rows if row.case.unit == unit]
        for mechanism in dict.fromkeys(row.case.mechanism for row in own):
            cells: list[Any] = []
            for row in own:
                if row.case.mechanism == mechanism:
                    both = (row.at_once, row.one_by_one)
                    cells += [number(row.milliseconds(taken)) for taken in both]
                    cells.append(ratio(row.ratio))
            table.add_row(mechanism, *cells)
        yield table


def _recipe(grids: Path, unit: str, quick: bool) -> dict[str, Any]:
    return load(grids / GRIDS[unit]).recipe | (QUICK if quick else {})


def _job(case: Case, recipe: dict[str, Any], device: str) -> Job:
    task = find_task("question_answering")
    return Job(
        mechanism=Word.parse(case.mechanism),
        sites=task.default_sites,
        seed=0,
        recipe=task.Recipe.model_validate(recipe),
        data=Path(),
        folder=Path(),
        device=device,
        record=lambda split, **values: None,
        recorded=lambda split: [],
    )


def _only(batch: dict[str, Tensor], unit: str, turn: int) -> dict[str, Tensor]:
    """Return one question about each image."""
    images = torch.arange(IMAGES, device=batch["words"].device)
    numbers = images * EACH[unit] + turn
    of_each = ("words", "scores", "outside", "right")
    found = {name: x[numbers] if name in of_each else x for name, x in batch.items()}
    return found | {"of_image" if unit == "question" else "of_sentence": images}


def _pass(model: Any, batch: dict[str, Tensor], kind: str) -> None:
    labels = ("scores", "right")
    if kind == "evaluation":
        with torch.no_grad():
            model(**{name: x for name, x in batch.items() if name not in labels})
        return
    model.zero_grad()
    sum(model(**batch, mode="loss").values()).backward()
