"""What files beside the images of ImageNet say: the classes of val, and the names of classes.

The development kit of ILSVRC2012 has them, ``data/ILSVRC2012_validation_ground_truth.txt`` and
``data/meta.mat``; and so has Kaggle's archive, ``LOC_val_solution.csv`` and
``LOC_synset_mapping.txt``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from plugins.contracts.dataset import PrepareError

__all__ = ["find_labels", "find_names"]

KITS = ("", "data", "ILSVRC2012_devkit_t12/data", "devkit/data")
"""Where the kit's files may lie in a copy."""
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
SOLUTION, MAPPING = "LOC_val_solution.csv", "LOC_synset_mapping.txt"


class Synset(NamedTuple):
    """A class: its number in the kit, its number in WordNet, its name."""

    number: int
    wordnet: str
    name: str


def find_labels(folders: Iterable[Path]) -> dict[str, str] | None:
    """Return the class (its number in WordNet) of each image of val by the stem of its name.

    Parameters
    ----------
    folders: iterable of Path
        Where the kit's or Kaggle's files may lie.

    Returns
    -------
    dict or None
        None if there are no such files.

    Raises
    ------
    PrepareError
        If one says something else than it should.
    """
    searched = list(folders)
    if solution := _first(searched, SOLUTION):
        return _solution(solution)
    truth = _first(searched, TRUTH)
    if truth is None:
        return None
    meta = truth.parent / META
    if not meta.is_file():
        raise PrepareError(f"{truth} numbers classes by {META}, which is not beside it")
    wordnet = {synset.number: synset.wordnet for synset in _synsets(meta)}
    labels = {}
    for line, word in enumerate(truth.read_text(encoding="utf-8").split(), 1):
        if not word.isdecimal() or int(word) not in wordnet:
            raise PrepareError(f"{truth}, line {line}: {word!r:.40} is no number of a class")
        labels[f"ILSVRC2012_val_{line:08d}"] = wordnet[int(word)]
    return labels


def find_names(folders: Iterable[Path]) -> dict[str, str]:
    """Return the names of classes by their numbers in WordNet, as far as files say them."""
    searched = list(folders)
    if mapping := _first(searched, MAPPING):
        lines = mapping.read_text(encoding="utf-8").splitlines()
        return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines if " " in line}
    if meta := _first(searched, META):
        return {synset.wordnet: synset.name for synset in _synsets(meta)}
    return {}


def _first(folders: Iterable[Path], name: str) -> Path | None:
    places = (folder / kit / name for folder in folders for kit in KITS)
    return next((place for place in places if place.is_file()), None)


def _solution(file: Path) -> dict[str, str]:
    """Read Kaggle's table: ``ILSVRC2012_val_00000001,n01751748 111 108 494 339``, with boxes."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    try:
        return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
    except (KeyError, AttributeError, IndexError) as error:
        raise PrepareError(
            f"{file} is no table of ImageId and PredictionString ({error!r})"
        ) from error


def _synsets(meta: Path) -> list[Synset]:
    """Return the classes that the kit lists; those above them in WordNet have children."""
    from scipy.io import loadmat

    try:
        rows = loadmat(meta, squeeze_me=True)["synsets"]
        return [
            Synset(int(row["ILSVRC2012_ID"]), str(row["WNID"]), str(row["words"]))
            for row in rows
            if not row["num_children"]
        ]
    except Exception as error:  # scipy raises whatever a broken file makes it
        raise PrepareError(
            f"{meta} cannot be read ({error}); take it from the archive again"
        ) from error
