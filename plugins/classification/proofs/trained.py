"""Trained runs and the images that they are evaluated on: what proofs on runs share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from torch import Tensor

from plugins.attention.core.word import Word
from plugins.classification.config import runner_config
from plugins.classification.proofs.training import Row, write
from plugins.classification.recipe import Recipe
from plugins.contracts.dataset import PrepareError
from plugins.contracts.job import Job
from plugins.openmmlab.look import trained_model

__all__ = ["Trained", "prove_runs", "read_run"]

AT_ONCE = 50
"""Images that pass through a model at once."""


@dataclass(frozen=True)
class Trained:
    """A trained run of classification.

    Attributes
    ----------
    job: Job
        The run, on the data set of the proof.
    model: Module
        It maps (N, 3, H, W) to logits (N, classes), with the weights of the newest checkpoint.
    images: Dataset
        The val split, as the run is evaluated on it.
    """

    job: Job
    model: Any
    images: Any

    def row(self) -> Row:
        """Return what a table says of the run itself."""
        return {
            "run": self.job.folder.name,
            "mechanism": str(self.job.mechanism),
            "sites": ".".join(self.job.sites),
            "seed": self.job.seed,
        }

    def batches(self, order: Sequence[int] | None = None) -> Iterator[tuple[Tensor, list[Any]]]:
        """Yield inputs (N, 3, H, W) of the model, and the samples, in batches of about one size.

        `order` are the numbers of the images, by default as they come.
        """
        numbers = torch.tensor(range(len(self.images)) if order is None else order)
        for some in numbers.tensor_split(-(-len(numbers) // AT_ONCE)):
            loaded = pseudo_collate([self.images[number] for number in some.tolist()])
            batch = self.model.data_preprocessor(loaded, False)
            yield batch["inputs"], batch["data_samples"]


def read_run(folder: Path, data: Path) -> Trained:
    """Read a run of classification and the prepared set to look at.

    Raises
    ------
    ValueError
        If `folder` is no run of classification with a checkpoint, or was trained on other classes.
    """
    try:
        science = json.loads((folder / "run.json").read_text(encoding="utf-8"))["science"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{folder} is not the folder of a run: run.json ({error})") from None
    if science["task"] != "classification":
        raise ValueError(f"{folder} is a run of {science['task']}; runs of classification would do")
    job = Job(
        mechanism=Word.parse(science["mechanism"]),
        sites=tuple(science["sites"]),
        seed=science["seed"],
        recipe=Recipe.model_validate(science["recipe"]),
        data=data,
        folder=folder.resolve(),
        device="cpu",
        record=lambda split, **values: None,
        recorded=lambda split: [],
    )
    try:
        cfg = Config(runner_config(job))
    except PrepareError as error:
        raise ValueError(f"{data} is not a prepared set of classification: {error}") from None
    try:
        model = trained_model(job, cfg)
    except RuntimeError as error:
        raise ValueError(f"{folder} does not fit {data}, with its classes: {error}") from None
    return Trained(job, model, DATASETS.build(cfg.val_dataloader.dataset))


def prove_runs(rows: Callable[[Trained], Iterable[Row]], text: str | None) -> None:
    """Write a table, by the command line, of what is found in trained runs.

    Parameters
    ----------
    rows: callable
        Returns the rows of a run, none if there is nothing to find in it.
    text: str, optional
        What is asked, for ``--help``.
    """
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the prepared set, such as cluttered-digits")
    parser.add_argument("table", type=Path, help="the CSV file to write")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs of classification")
    given = parser.parse_args()
    found: list[Row] = []
    try:
        for run in given.runs:
            with torch.no_grad():
                found += rows(read_run(run, given.folder))
    except ValueError as error:
        parser.error(str(error))
    if not found:
        parser.error("the mechanisms of these runs have nothing that is asked for")
    write(given.table, found)
