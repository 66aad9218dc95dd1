"""Check a prepared set before training: questions, answers, images, and what is named in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from plugins.contracts.copies import readable_image, some
from plugins.contracts.dataset import Checked, PrepareError
from plugins.openmmlab.images import check_images, spread
from plugins.question_answering.data import features
from plugins.question_answering.data.answers import answer_counts
from plugins.question_answering.data.check_phrases import check_phrases
from plugins.question_answering.data.layout import ANSWERS, read_answers, read_questions
from plugins.question_answering.data.objects import attributes, read_objects
from plugins.question_answering.data.rows import Question
from plugins.question_answering.data.words import words

__all__ = ["check"]

SPLITS = ("train", "val")


def check(folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
    """Read a prepared set as training and evaluation will.

    Of a published set 100 images a split are decoded, and the others only looked for. A set that
    has features of boxes may lack images; what features are like was looked at when it was
    prepared.

    Returns
    -------
    Checked
        ``questions`` of each type by split; how many ``words`` and ``answers`` train has; the words
        of its ``longest`` question; the number of ``names`` of each attribute of objects, if the
        set says what is in its images. Of a set without questions, what `check_phrases` finds.

    Raises
    ------
    PrepareError
        As :meth:`plugins.contracts.task.ChecksData.check_data` does.
    """
    if not (folder / "questions").is_dir() and (folder / "phrases").is_dir():
        return check_phrases(folder, progress)
    asked = {split: read_questions(folder, split) for split in SPLITS}
    notes: list[str] = []
    featured = _featured(folder)
    for split, questions in asked.items():
        if not questions:
            raise PrepareError(f"{_file(folder, split)} has no question")
        _refuse_empty(folder, split, questions)
        images = list(dict.fromkeys(question.image for question in questions))
        missing = [image for image in images if not (folder / image).is_file()]
        if unseen := [image for image in missing if Path(image).stem not in featured]:
            raise PrepareError(
                f"{_file(folder, split)} asks about images that {folder} lacks: {some(unseen)}"
            )
        images = [image for image in images if (folder / image).is_file()] if missing else images
        opened = images if whole else [images[n] for n in sorted(spread(len(images)))]
        notes += check_images(
            [folder / image for image in opened],
            whole=whole,
            progress=lambda doing, split=split: progress(f"{split}: {doing}"),  # type: ignore[misc]
            annotated=any(question.boxes for question in questions),
        )
        _refuse_boxes_beyond(folder, split, questions, set(opened))
    if set(read_answers(folder)) != set(answer_counts(asked["train"])):
        raise PrepareError(
            f"{folder / ANSWERS} does not have the answers of {_file(folder, 'train')}: prepare the"
            " set again"
        )
    unknown = _words(asked["val"]) - _words(asked["train"])
    if unknown:
        notes.append(f"val has words that train does not have: {some(sorted(unknown))}")
    counts = {
        "questions": {
            split: dict(sorted(Counter(question.type for question in questions).items()))
            for split, questions in asked.items()
        },
        "words": len(_words(asked["train"])),
        "answers": len(read_answers(folder)),
        "longest": max(len(words(question.question)) for question in asked["train"]),
    }
    return Checked(counts | _names(folder, asked), tuple(notes))


def _featured(folder: Path) -> set[str]:
    """Return the names, without ends, of the images that have features of boxes."""
    path = features.in_set(folder)
    if path is None:
        return set()
    with features.open_features(path) as opened:
        return set(opened)


def _file(folder: Path, split: str) -> Path:
    return folder / "questions" / f"{split}.jsonl"


def _words(questions: Sequence[Question]) -> set[str]:
    return {word for question in questions for word in words(question.question)}


def _refuse_empty(folder: Path, split: str, questions: Sequence[Question]) -> None:
    for line, question in enumerate(questions, 1):
        lacks = "words" if not words(question.question) else ""
        if not question.answers or not all(question.answers):
            lacks = "an answer"
        if lacks:
            raise PrepareError(f"{_file(folder, split)}, line {line}: the question lacks {lacks}")


def _refuse_boxes_beyond(
    folder: Path, split: str, questions: Sequence[Question], opened: set[str]
) -> None:
    for line, (question, size) in enumerate(_sizes(folder, questions, opened), 1):
        for left, top, width, height in question.boxes if size[0] else ():
            right, bottom = left + width, top + height
            if min(left, top) < 0 or right > size[0] or bottom > size[1] or min(width, height) <= 0:
                raise PrepareError(
                    f"{_file(folder, split)}, line {line}: the box {[left, top, width, height]}"
                    f" (left, top, width, height) is not within {question.image}, which has"
                    f" {size[0]} x {size[1]} pixels"
                )


def _sizes(
    folder: Path, questions: Sequence[Question], opened: set[str]
) -> Iterator[tuple[Question, tuple[int, int]]]:
    """Yield each question with width and height of its image, (0, 0) if that is not looked at."""
    from PIL import Image

    known: dict[str, tuple[int, int]] = {}
    for question in questions:
        if question.boxes and question.image in opened and question.image not in known:
            with readable_image(folder / question.image), Image.open(folder / question.image) as it:
                known[question.image] = it.size
        yield question, known.get(question.image, (0, 0))


def _names(folder: Path, asked: dict[str, list[Question]]) -> dict[str, dict[str, int]]:
    if not (folder / "objects" / "train.jsonl").is_file():
        return {}
    objects = read_objects(folder, "train")
    lacking = {question.image for question in asked["train"]} - objects.keys()
    if lacking:
        raise PrepareError(f"{folder / 'objects' / 'train.jsonl'} lacks {some(sorted(lacking))}")
    return {"names": {name: len(values) for name, values in attributes(objects).items()}}
