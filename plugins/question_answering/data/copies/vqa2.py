"""VQA v2, questions about photos of COCO with the answers of ten people, from its user's copy.

::

    images/train2014         -> COPY/train2014
    images/val2014           -> COPY/val2014
    features, features.h5    -> COPY/features or COPY/features.h5, beside or instead of the images
    questions/SPLIT.jsonl    answers.json
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from plugins.contracts.copies import CopyCard, check_counts, check_folder
from plugins.contracts.dataset import PrepareError, Source
from plugins.question_answering.data.copies.coco_questions import IMAGES, image_of, joined
from plugins.question_answering.data.copies.coco_shown import shown
from plugins.question_answering.data.copies.reading import archives, find, read_json
from plugins.question_answering.data.layout import write_questions

__all__ = ["CARD", "SOURCES", "prepare", "recognises"]

SOURCES: tuple[Source, ...] = ()

CARD = CopyCard(
    task="question_answering",
    content="questions about photos, with the answers of ten people",
    licence="annotations CC BY 4.0, photos of COCO under their owners' Flickr licences",
    unit="questions",
    benchmark="VQA v2",
    composed=False,
    in_domain=True,
    packages=(),
    notes=(
        "val is what its users choose on; the answers of test are not public",
        "the fingerprint covers names and sizes of images and features, not their content",
    ),
    where="VQA v2 is at https://visualqa.org/download.html; unpack its four files of questions and"
    " annotations of train and val, and COCO's train2014.zip and val2014.zip"
    " (https://cocodataset.org), in one folder; or put features of boxes there, as features or"
    " features.h5",
)

SPLITS = {"train": IMAGES[0], "val": IMAGES[1]}
QUESTIONS = "v2_OpenEnded_mscoco_{}_questions.json"
ANNOTATIONS = "v2_mscoco_{}_annotations.json"
OFFICIAL = {"train questions": 443_757, "val questions": 214_354}
TRAINING_ITEMS = OFFICIAL["train questions"]
OUTPUTS = 3_129
"""Answers that are the best one of nine questions of train and val, by which Kim et al. 2018 count.

Cost is counted with them until the set is prepared; a recipe knows those of train, which are fewer.
"""


def recognises(folder: Path) -> bool:
    """Tell whether a folder looks like a copy of VQA v2, complete or not."""
    names = [form.format(images) for form in (QUESTIONS, ANNOTATIONS) for images in IMAGES]
    return folder.is_dir() and find(folder, *names) is not None


def prepare(copy: Path, out: Path, progress: Callable[[str], None], subset: bool = False) -> dict:
    """Check a copy of VQA v2; write its questions, and links to its images, into `out`.

    Parameters
    ----------
    copy: Path
        The folder with the files of questions and annotations, and images or features.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.
    subset: bool
        Whether the numbers of questions may differ from those of the set.

    Returns
    -------
    dict
        ``items`` (questions) of each split, ``upper_bound`` of the answers that train has,
        ``question_only``; with features how many ``images`` have some, and their ``width``;
        ``official``: whether the numbers are those of the set.

    Raises
    ------
    PrepareError
        If the copy is not VQA v2, or not whole.
    """
    check_folder(copy, CARD)
    asked = {}
    seen = shown(copy, CARD.where)
    for split, images in SPLITS.items():
        progress(f"reading the questions of {split}")
        files = _file(copy, QUESTIONS.format(images)), _file(copy, ANNOTATIONS.format(images))
        lists = []
        for file, key in zip(files, ("questions", "annotations"), strict=True):
            content = read_json(file)
            if not isinstance(content, dict) or key not in content:
                raise PrepareError(f"{file} has no {key!r}; take it from the archive again")
            lists.append(content[key])
        asked[split] = joined(files, (lists[0], lists[1]), _image_in(images))
    progress("looking at the images")
    counts = seen.check(chain.from_iterable(asked.values()))
    found = {f"{split} questions": len(questions) for split, questions in asked.items()}
    official = check_counts(found, OFFICIAL, subset)
    progress("writing the questions")
    seen.link(out)
    return {**write_questions(out, asked), **counts, "official": official}


def _image_in(images: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda asked: image_of(images, asked["image_id"])


def _file(copy: Path, name: str) -> Path:
    if file := find(copy, name):
        return file
    hint = archives(copy)
    if older := find(copy, name.removeprefix("v2_")):
        hint = f": {older.name} is of VQA 1.0, whose answers are more often told by the question"
    raise PrepareError(f"{copy} has no {name}{hint}; {CARD.where}")
