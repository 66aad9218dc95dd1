"""CLEVR, questions about drawn scenes of simple bodies, from its user's copy.

::

    images/train             -> COPY/images/train
    images/val               -> COPY/images/val
    questions/SPLIT.jsonl    the type is that of the last function of a question's program
    answers.json
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from plugins.contracts.copies import CopyCard, check_counts, check_folder, link
from plugins.contracts.dataset import PrepareError, Source
from plugins.question_answering.data.copies.reading import archives, check_images, read_json
from plugins.question_answering.data.layout import write_questions
from plugins.question_answering.data.rows import Question
from plugins.question_answering.metrics.clevr import question_type

__all__ = ["CARD", "SOURCES", "prepare", "recognises"]

SOURCES: tuple[Source, ...] = ()

CARD = CopyCard(
    task="question_answering",
    content="questions about drawn scenes of simple bodies",
    licence="CC BY 4.0",
    unit="questions",
    benchmark="CLEVR v1.0",
    composed=True,
    in_domain=True,
    packages=(),
    notes=(
        "the scenes are drawn by Blender, the questions made by rule",
        "val is what its users choose on and what most report; the answers of test are not public",
        "the fingerprint covers names and sizes of the images, not their content",
    ),
    where="CLEVR is at https://cs.stanford.edu/people/jcjohns/clevr; unpack CLEVR_v1.0.zip, and"
    " give the folder CLEVR_v1.0",
)

TOP, COGENT = "CLEVR_v1.0", "CLEVR_CoGenT_v1.0"
SPLITS = ("train", "val")
QUESTIONS = "questions/CLEVR_{}_questions.json"
OFFICIAL = {"train questions": 699_989, "val questions": 149_991}
TRAINING_ITEMS = OFFICIAL["train questions"]
OUTPUTS = 28
"""Yes, no, 0 to 10, and 15 values of attributes."""


def recognises(folder: Path) -> bool:
    """Tell whether a folder looks like a copy of CLEVR, complete or not."""
    return (folder / TOP).is_dir() or any(
        (folder / QUESTIONS.format(split)).is_file() for split in SPLITS
    )


def prepare(copy: Path, out: Path, progress: Callable[[str], None], subset: bool = False) -> dict:
    """Check a copy of CLEVR; write its questions, and links to its images, into `out`.

    Parameters
    ----------
    copy: Path
        The folder with ``questions`` and ``images``, or the one that it lies in.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.
    subset: bool
        Whether the numbers of questions may differ from those of the set.

    Returns
    -------
    dict
        As :func:`plugins.question_answering.data.copies.vqa2.prepare` does.

    Raises
    ------
    PrepareError
        If the copy is not CLEVR, or not whole.
    """
    check_folder(copy, CARD)
    top = copy / TOP if (copy / TOP).is_dir() else copy
    asked = {}
    for split in SPLITS:
        progress(f"reading the questions of {split}")
        file, images = top / QUESTIONS.format(split), top / "images" / split
        for path in (file, images):
            if not path.exists():
                raise PrepareError(f"{path} is missing{_likely_mistake(copy, top)}; {CARD.where}")
        asked[split] = _questions(file, split)
        shown = {question.image for question in asked[split]}
        check_images(shown, [(f"images/{split}/", images)])
    found = {f"{split} questions": len(questions) for split, questions in asked.items()}
    official = check_counts(found, OFFICIAL, subset)
    progress("writing the questions")
    for split in SPLITS:
        link(top / "images" / split, out / "images" / split)
    return {**write_questions(out, asked), "official": official}


def _likely_mistake(copy: Path, top: Path) -> str:
    """Say what the folder holds instead, if it is one of the usual mistakes."""
    if (copy / COGENT).is_dir() or (top / "images" / "trainA").is_dir():
        return ": this is CLEVR-CoGenT, another set"
    if (top / "questions").is_dir() and not (top / "images").is_dir():
        return ": this is CLEVR_v1.0_no_images.zip, of which nothing can be seen"
    return archives(copy)


def _questions(file: Path, split: str) -> list[Question]:
    content = read_json(file)
    entries = content.get("questions") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise PrepareError(f"{file} has no list 'questions'; take it from the archive again")
    return [_question(file, number, entry, split) for number, entry in enumerate(entries)]


def _question(file: Path, number: int, entry: Any, split: str) -> Question:
    try:
        if "answer" not in entry:
            raise PrepareError(
                f"{file}: question {number} has no answer; those of test are not public, and "
                f"{split} is meant here"
            )
        return Question(
            f"images/{split}/{entry['image_filename']}",
            entry["question"],
            (entry["answer"],),
            question_type(entry["program"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise PrepareError(f"{file}: question {number} is none of CLEVR ({error})") from error
