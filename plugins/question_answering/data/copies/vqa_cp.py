"""VQA-CP v2, VQA v2 divided so that answers which a question suggests are wrong more often in test.

From its user's copy. The set has no validation split: part of the images of train is held out. ::

    images/train2014         -> COPY/train2014; train and test ask about images of both
    images/val2014           -> COPY/val2014
    features, features.h5    -> COPY/features or COPY/features.h5, beside or instead of the images
    questions/SPLIT.jsonl    train, val (held out of train), test; answers.json
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from plugins.contracts.copies import CopyCard, check_counts, check_folder
from plugins.contracts.dataset import PrepareError, Source
from plugins.openmmlab.data.own_files import val_of
from plugins.question_answering.data.copies import vqa2
from plugins.question_answering.data.copies.coco_questions import IMAGES, image_of, joined
from plugins.question_answering.data.copies.coco_shown import shown
from plugins.question_answering.data.copies.reading import archives, find, read_json
from plugins.question_answering.data.layout import write_questions

__all__ = ["CARD", "HELD_OUT", "SOURCES", "prepare", "recognises"]

SOURCES: tuple[Source, ...] = ()

HELD_OUT = 0.05
"""Share of the images of train whose questions are val."""

CARD = CopyCard(
    task="question_answering",
    content="questions about photos, whose answers are distributed otherwise in test",
    licence="annotations of VQA v2 CC BY 4.0, photos of COCO under their owners' Flickr licences",
    unit="questions",
    benchmark="VQA-CP v2",
    composed=False,
    in_domain=True,
    packages=(),
    notes=(
        f"the set has no validation split: val is {HELD_OUT:.0%} of the images of train, held out"
        " by a hash of their names, and is distributed as train, not as test",
        "papers train on all of train, and many choose on test",
        "report a model that sees only the question beside others: priors differ in test",
        "the fingerprint covers names and sizes of images and features, not their content",
    ),
    splits=("train", "val", "test"),
    divided="published test, val held out of train",
    where="VQA-CP v2 is at https://computing.ece.vt.edu/~aish/vqacp; put its four files"
    " vqacp_v2_{train,test}_{questions,annotations}.json into one folder with COCO's train2014 and"
    " val2014 (https://cocodataset.org), or with features of boxes as features or features.h5",
)

FILES = "vqacp_v2_{}_{}.json"
PARTS = ("train", "test")
# Together as many as VQA v2 has in train and val.
OFFICIAL = {"train questions": 438_183, "test questions": 219_928}
OUTPUTS = vqa2.OUTPUTS
"""Cost is counted with them until the set is prepared."""


def recognises(folder: Path) -> bool:
    """Tell whether a folder looks like a copy of VQA-CP v2, complete or not."""
    names = [FILES.format(part, kind) for part in PARTS for kind in ("questions", "annotations")]
    return folder.is_dir() and find(folder, *names) is not None


def prepare(copy: Path, out: Path, progress: Callable[[str], None], subset: bool = False) -> dict:
    """Check a copy of VQA-CP v2; write its questions, and links to its images, into `out`.

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
        As :func:`plugins.question_answering.data.copies.vqa2.prepare` does.

    Raises
    ------
    PrepareError
        If the copy is not VQA-CP v2, or not whole.
    """
    check_folder(copy, CARD)
    seen = shown(copy, CARD.where)
    asked = {}
    for part in PARTS:
        progress(f"reading the questions of {part}")
        files = _file(copy, part, "questions"), _file(copy, part, "annotations")
        asked[part] = joined(files, (_list(files[0]), _list(files[1])), _image)
    progress("looking at the images")
    counts = seen.check(chain.from_iterable(asked.values()))
    found = {f"{part} questions": len(questions) for part, questions in asked.items()}
    official = check_counts(found, OFFICIAL, subset)
    progress("writing the questions")
    held_out = val_of({question.image for question in asked["train"]}, HELD_OUT)
    splits = {
        "train": [each for each in asked["train"] if each.image not in held_out],
        "val": [each for each in asked["train"] if each.image in held_out],
        "test": asked["test"],
    }
    if not splits["train"]:
        raise PrepareError(f"train of {copy} asks about one image: none is left to hold out")
    seen.link(out)
    return {**write_questions(out, splits), **counts, "official": official}


def _image(asked: Mapping[str, Any]) -> str:
    split = asked["coco_split"]
    if split not in IMAGES:
        raise ValueError(f"coco_split is {split!r}, not {' or '.join(IMAGES)}")
    return image_of(split, asked["image_id"])


def _file(copy: Path, part: str, kind: str) -> Path:
    name = FILES.format(part, kind)
    if file := find(copy, name):
        return file
    hint = archives(copy)
    if older := find(copy, name.replace("v2", "v1")):
        hint = f": {older.name} is of VQA-CP v1"
    raise PrepareError(f"{copy} has no {name}{hint}; {CARD.where}")


def _list(file: Path) -> list[Any]:
    """Return the content of a file of the set, which is a list without anything around it."""
    content = read_json(file)
    if isinstance(content, dict):
        raise PrepareError(
            f"{file} is an object with {', '.join(sorted(content)[:5])}, as files of VQA v2 are; "
            "those of VQA-CP are bare lists"
        )
    return content
