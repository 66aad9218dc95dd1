"""The files of a prepared set. Imports no framework.

::

    questions/SPLIT.jsonl    a question a line, see `Question`
    phrases/SPLIT.jsonl      a phrase a line, see `Phrase`; a set has questions, phrases or both
    answers.json             {answer: number of training questions that it answers best, ...}
    images/...               where the questions and phrases say
    features/IMAGE.npz       boxes with features instead of, or beside, images; see `features`
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from plugins.contracts.dataset import PrepareError
from plugins.question_answering.data.answers import answer_counts, question_only, upper_bound
from plugins.question_answering.data.rows import Phrase, Question

__all__ = [
    "ANSWERS",
    "read_answers",
    "read_phrases",
    "read_questions",
    "write_lines",
    "write_phrases",
    "write_questions",
]

ANSWERS = "answers.json"
TRAIN = "train"

Row = TypeVar("Row", Question, Phrase)


def write_questions(folder: Path, splits: Mapping[str, Sequence[Question]]) -> dict[str, Any]:
    """Write the questions of all splits, and the answers that train has.

    Returns
    -------
    dict
        ``items`` (questions) of each split and, of each but train, ``upper_bound``: the accuracy
        of the best answers that train knows; and ``question_only``: that of the most frequent
        answer to each question in train, whatever the image shows.
    """
    counts = answer_counts(splits[TRAIN])
    for split, questions in splits.items():
        write_lines(folder / "questions" / f"{split}.jsonl", map(_plain, questions))
    text = json.dumps(counts, indent=1, ensure_ascii=False)
    (folder / ANSWERS).write_text(text, encoding="utf-8")
    held_out = [split for split in splits if split != TRAIN]
    return {
        "items": {split: len(questions) for split, questions in splits.items()},
        "upper_bound": {split: round(upper_bound(counts, splits[split]), 4) for split in held_out},
        "question_only": {
            split: round(question_only(splits[TRAIN], splits[split]), 4) for split in held_out
        },
    }


def write_phrases(folder: Path, splits: Mapping[str, Sequence[Phrase]]) -> dict[str, int]:
    """Write the phrases of all splits; return their numbers."""
    for split, phrases in splits.items():
        write_lines(folder / "phrases" / f"{split}.jsonl", map(_plain, phrases))
    return {split: len(phrases) for split, phrases in splits.items()}


def read_questions(folder: Path, split: str, images: int | None = None) -> list[Question]:
    """Return the questions of a split, or those about its first so many images.

    PrepareError if the file is not as it should be.
    """
    return _of_first(_read(folder / "questions" / f"{split}.jsonl", Question), images)


def read_phrases(folder: Path, split: str, images: int | None = None) -> list[Phrase]:
    """Return the phrases of a split, or those of its first so many images.

    PrepareError if the file is not as it should be.
    """
    return _of_first(_read(folder / "phrases" / f"{split}.jsonl", Phrase), images)


def read_answers(folder: Path, least: int = 1, images: int | None = None) -> list[str]:
    """Return the answers that are best for `least` training questions or more, frequent first.

    With `images` only the questions about the first so many images count.
    """
    if images is None:
        counts = json.loads((folder / ANSWERS).read_text(encoding="utf-8"))
    else:
        counts = answer_counts(read_questions(folder, TRAIN, images))
    return [answer for answer, number in counts.items() if number >= least]


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _of_first(rows: Iterable[Row], images: int | None) -> list[Row]:
    found = list(rows)
    if images is None:
        return found
    kept = set(islice(dict.fromkeys(row.image for row in found), images))
    return [row for row in found if row.image in kept]


def _plain(row: Question | Phrase) -> dict[str, Any]:
    """Return what a line says: fields that are empty are left out."""
    return {name: value for name, value in asdict(row).items() if value not in ("", (), 0)}


def _read(path: Path, kind: type[Row]) -> Iterator[Row]:
    known = {field.name for field in fields(kind)}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise PrepareError(f"{path} cannot be read ({error})") from error
    if not lines[-1]:
        lines.pop()  # a line ends with a newline, the last one perhaps without
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if strange := row.keys() - known:
                raise ValueError(f"{', '.join(sorted(strange))} is none of its fields")
            yield kind(**{name: _tuples(value) for name, value in row.items()})
        except (AttributeError, TypeError, ValueError) as error:
            raise PrepareError(
                f"{path}, line {number}: no {kind.__name__.lower()} ({error})"
            ) from error


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
