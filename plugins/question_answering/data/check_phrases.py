"""Check a set of phrases before training: words, boxes, and what there is to find them by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from plugins.contracts.copies import some
from plugins.contracts.dataset import Checked, PrepareError
from plugins.question_answering.data import features
from plugins.question_answering.data.layout import read_phrases
from plugins.question_answering.data.rows import Phrase
from plugins.question_answering.data.sentences import sentences, words_of

__all__ = ["check_phrases"]

SPLITS = ("train", "val")


def check_phrases(folder: Path, progress: Callable[[str], None]) -> Checked:
    """Read the phrases of a prepared set as training and evaluation will.

    What their images, or features, are like was looked at when the set was prepared.

    Returns
    -------
    Checked
        ``phrases`` of each type and ``sentences`` by split; how many ``words`` train has; the words
        of the ``longest`` phrase that is read, those before it in its sentence included.

    Raises
    ------
    PrepareError
        As :meth:`plugins.contracts.task.ChecksData.check_data` does.
    """
    read: dict[str, list[Phrase]] = {}
    notes: list[str] = []
    for split in SPLITS:
        progress(f"{split}: reading the phrases")
        read[split] = read_phrases(folder, split)
        file = folder / "phrases" / f"{split}.jsonl"
        if not read[split]:
            raise PrepareError(f"{file} has no phrase")
        if without := [n for n, phrase in enumerate(read[split], 1) if not phrase.boxes]:
            raise PrepareError(f"{file}, line {without[0]}: the phrase lacks a box")
        images = {phrase.image for phrase in read[split]}
        if missing := [image for image in images if not _is_there(folder, image)]:
            raise PrepareError(f"{folder} lacks what phrases of {split} are about: {some(missing)}")
    known = _words(read["train"])
    if unknown := _words(read["val"]) - known:
        notes.append(f"val has words that train does not have: {some(sorted(unknown))}")
    if not ((folder / "objects").is_dir() or _of_features(read["train"][0].image)):
        notes.append(
            "it has images, and neither features of boxes nor objects: goal ground needs one of"
            " them to know boxes to choose from"
        )
    counts = {
        "phrases": {
            split: dict(sorted(Counter(kind for each in found for kind in each.types).items()))
            for split, found in read.items()
        },
        "sentences": {split: len(sentences(found)) for split, found in read.items()},
        "words": len(known),
        "longest": max(len(words_of(phrase)[0]) for phrase in read["train"]),
    }
    return Checked(counts, tuple(notes))


def _words(phrases: Sequence[Phrase]) -> set[str]:
    return {word for phrase in phrases for word in words_of(phrase)[0]}


def _of_features(image: str) -> bool:
    return image.partition("/")[0] in (features.FOLDER, features.FILE)


def _is_there(folder: Path, image: str) -> bool:
    """Whether there is the image; what is in a file with all features was looked at."""
    alone = image.partition("/")[0]
    return (folder / (alone if alone == features.FILE else image)).is_file()
