"""The questions of the coloured squares with features of boxes, beside their images or alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from plugins.question_answering.data.layout import read_questions, write_questions

__all__ = ["BOXES", "FEATURES", "WIDTH", "featured"]

WIDTH = 5
BOXES = np.array([[0, 0, 32, 32], [2, 2, 14, 14], [18, 2, 30, 14], [0, 20, 9, 32]], np.float32)
FEATURES = {"network": "features", "feature_channels": WIDTH, "boxes": 4, "visual_epochs": 0}


def featured(data: Path, folder: Path, images: bool = True) -> Path:
    """Write the set of `data` with features of one to four boxes an image."""
    (folder / "features").mkdir(parents=True)
    if images:
        (folder / "images").mkdir()
    chance, asked, seen = np.random.default_rng(0), {}, {}
    for split in ("train", "val"):
        asked[split] = []
        for question in read_questions(data, split):
            stem = f"{split}-{Path(question.image).stem}"
            if stem not in seen:
                seen[stem] = f"images/{stem}.png"
                number = 1 + len(seen) % len(BOXES)
                values = chance.random((number, WIDTH), np.float32)
                path = folder / "features" / f"{stem}.npz"
                np.savez(path, features=values, boxes=BOXES[:number])
                if images:
                    shutil.copy(data / question.image, folder / seen[stem])
            asked[split].append(replace(question, image=seen[stem]))
    write_questions(folder, asked)
    return folder
