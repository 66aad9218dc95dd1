"""Questions about the photos of COCO 2014 with the answers of ten people: VQA v2 and VQA-CP v2.

Questions and answers are two lists that share ``question_id``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plugins.contracts.copies import some
from plugins.contracts.dataset import PrepareError
from plugins.question_answering.data.copies.reading import archives, find
from plugins.question_answering.data.rows import Question

__all__ = ["IMAGES", "image_folder", "image_of", "joined"]

IMAGES = ("train2014", "val2014")
PEOPLE = 10


def image_of(split: str, number: int) -> str:
    """Return the path of an image in a prepared set; `split` is train2014 or val2014."""
    return f"images/{split}/COCO_{split}_{number:012d}.jpg"


def image_folder(copy: Path, name: str, where: str) -> Path:
    """Return the folder of the images of train2014 or val2014; PrepareError if there is none."""
    if folder := find(copy, name):
        return folder
    hint = archives(copy)
    if later := find(copy, name.replace("2014", "2017")):
        hint = (
            f": {later.name} has the photos of COCO 2017, which are named and divided otherwise; "
            f"get those of 2014"
        )
    raise PrepareError(f"{copy} has no {name}{hint}; {where}")


def joined(
    files: tuple[Path, Path],
    lists: tuple[Any, Any],
    image: Callable[[Mapping[str, Any]], str],
) -> list[Question]:
    """Return questions with their answers.

    Parameters
    ----------
    files: tuple of Path
        The files of questions and of answers, for messages.
    lists: tuple
        What they say.
    image: callable
        Gives the image of an entry of questions.

    Raises
    ------
    PrepareError
        If a question has no answers or answers no question, or an entry is not as it should be.
    """
    found: list[dict[int, Mapping[str, Any]]] = []
    for file, entries in zip(files, lists, strict=True):
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise PrepareError(f"{file} has no list of entries; take it from the archive again")
        numbered = {each.get("question_id"): each for each in entries}
        if None in numbered or len(numbered) < len(entries):
            raise PrepareError(
                f"{file}: {len(entries) - len(numbered.keys() - {None})} entries have no "
                "question_id, or that of another entry"
            )
        found.append(numbered)
    questions, answers = found
    if apart := questions.keys() ^ answers.keys():
        raise PrepareError(
            f"{files[0]} and {files[1]} do not belong together: question_ids of one of them alone, "
            f"{some(apart)}"
        )
    return [_question(files, each, answers[number], image) for number, each in questions.items()]


def _question(
    files: tuple[Path, Path],
    asked: Mapping[str, Any],
    answered: Mapping[str, Any],
    image: Callable[[Mapping[str, Any]], str],
) -> Question:
    number = asked["question_id"]
    try:
        question = Question(
            image(asked),
            asked["question"],
            tuple(each["answer"] for each in answered["answers"]),
            answered["question_type"],
            answered["answer_type"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PrepareError(
            f"question_id {number} of {files[0]} or {files[1]} lacks something, or has it of "
            f"another kind: {error!r}"
        ) from error
    if len(question.answers) != PEOPLE:
        raise PrepareError(
            f"{files[1]}: question_id {number} has {len(question.answers)} answers, not {PEOPLE}"
        )
    if asked.get("image_id") != answered.get("image_id"):
        raise PrepareError(
            f"question_id {number} is about image {asked.get('image_id')} in {files[0]}, and "
            f"{answered.get('image_id')} in {files[1]}"
        )
    return question
