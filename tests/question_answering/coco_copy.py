"""A tiny copy of questions about COCO's photos, in the layout of VQA v2 and of VQA-CP v2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

IMAGES = {"train2014": range(1, 41), "val2014": range(101, 107)}


def photos(top: Path) -> None:
    for folder, numbers in IMAGES.items():
        (top / folder).mkdir(parents=True)
        for number in numbers:
            path = top / folder / f"COCO_{folder}_{number:012d}.jpg"
            Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(path)


def features(top: Path, width: int = 4) -> None:
    """Features of two boxes of each photo."""
    (top / "features").mkdir()
    boxes = np.array([[0, 0, 8, 8], [2, 1, 6, 7]], np.float32)
    for folder, numbers in IMAGES.items():
        for number in numbers:
            name = f"COCO_{folder}_{number:012d}.npz"
            np.savez(top / "features" / name, features=np.ones((2, width)), boxes=boxes)


def pair(split: str, images) -> tuple[list[dict], list[dict]]:
    """Two questions about each image; people agree on one and differ on the other."""
    questions, annotations = [], []
    for image in images:
        for kind, text, answers in (
            ("is the", "Is the sky grey?", ["yes"] * 10),
            ("what is", "What is this?", ["a Cat."] * 4 + ["cat"] * 3 + ["dog"] * 3),
        ):
            number = image * 1000 + len(kind)
            about = {"image_id": image, "question_id": number}
            questions.append(about | {"question": text, "coco_split": split})
            annotations.append(
                about
                | {
                    "question_type": kind,
                    "answer_type": "yes/no" if kind == "is the" else "other",
                    "multiple_choice_answer": answers[0],
                    "answers": [
                        {"answer": each, "answer_confidence": "yes", "answer_id": place}
                        for place, each in enumerate(answers, 1)
                    ],
                }
            )
    return questions, annotations


def alter(name: str, change: Callable) -> Callable[[Path], None]:
    """What changes a file of a copy: `change` alters its content, or returns another."""

    def spoil(copy: Path) -> None:
        content = json.loads((copy / name).read_text())
        changed = change(content)
        (copy / name).write_text(json.dumps(content if changed is None else changed))

    return spoil
