"""The scenes of the positive controls: real handwriting in colours on a real aerial photo.

Digits and photo are those of `digits`; what is put together is composed. Digits and parts of the
photo that are in val are not in train. The scenes are kept as tables of what stands where, and
are drawn when they are needed: ::

    scenes.npz     KIND_SPLIT_classes, _inks, _answers, _places, as in `Scene`; _digits: which
                   drawing of its class an object is; _ground: row and column of the photo
    digits.npz     train and val: (class, drawing, 14, 14), ink from 0 to 255
    photo.png
    examples/      some scenes as images, for people and for ``study attend``
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.contracts.dataset import Card
from plugins.openmmlab.data.aerial import DEEPFOREST, PHOTOS, read_image
from plugins.openmmlab.data.handwriting import MNIST, read_digits

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CARD", "SCENES", "SOURCES", "prepare"]

SOURCES = (MNIST, DEEPFOREST)

CARD = Card(
    task="controls",
    content="handwritten digits on a real aerial photo",
    licence="MIT",
    unit="scenes of each kind",
    benchmark="any benchmark",
    composed=True,
    in_domain=True,
    packages=("numpy", "pillow"),
    notes=(
        "the scenes are composed so that only one term of attention can know the answers: they"
        " prove that a module works, and say nothing of what it is worth on photos",
        "no digit and no row of the photo is in both splits",
    ),
)

SCENES = {"train": 3000, "val": 700}
SEEDS = {"train": 1, "val": 2}
TRAIN_SHARE = 0.8
DIGIT = 14
EXAMPLES = 4


def prepare(sources: Mapping[str, Path], out: Path, progress: Callable[[str], None]) -> dict:
    """Write the scenes of both splits into the folder `out`.

    Parameters
    ----------
    sources: mapping of str to Path
        The verified file of each package in `SOURCES`.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.

    Returns
    -------
    dict
        ``items`` (scenes of each kind) and ``questions`` (by kind) of each split.
    """
    import numpy as np

    from plugins.controls.drawing import SIDE, Drawer
    from plugins.controls.scenes import KINDS, NOTHING, draw

    progress("reading the digits")
    drawings = _digits(sources[MNIST.package])
    np.savez_compressed(out / "digits.npz", allow_pickle=False, **drawings)
    photo = PHOTOS[0]
    with zipfile.ZipFile(sources[DEEPFOREST.package]) as wheel:
        ground = read_image(wheel, photo.stem)
    ground.save(out / "photo.png")
    rows = {"train": (0, photo.val_from), "val": (photo.val_from, ground.height)}

    kept: dict[str, np.ndarray[Any, Any]] = {}
    questions: dict[str, dict[str, int]] = {split: {} for split in SCENES}
    for number, kind in enumerate(KINDS):
        for split, scenes in SCENES.items():
            progress(f"drawing {scenes} {split} scenes of the kind {kind}")
            chance = np.random.default_rng([SEEDS[split], number])
            drawn = [draw(kind, chance) for _ in range(scenes)]
            columns = [np.stack(each) for each in zip(*drawn, strict=True)]
            first, last = rows[split]
            at = chance.integers(
                (first, 0), (last - SIDE + 1, ground.width - SIDE + 1), size=(scenes, 2)
            )
            digits = chance.integers(drawings[split].shape[1], size=columns[0].shape)
            for name, column in zip(("classes", "inks", "answers", "places"), columns, strict=True):
                kept[f"{kind}_{split}_{name}"] = column.astype(np.int8)
            kept[f"{kind}_{split}_digits"] = digits.astype(np.int16)
            kept[f"{kind}_{split}_ground"] = at.astype(np.int16)
            questions[split][kind] = int((columns[2] != NOTHING).sum())
    np.savez_compressed(out / "scenes.npz", allow_pickle=False, **kept)
    progress("drawing examples")
    (out / "examples").mkdir()
    for kind in KINDS:
        drawer = Drawer(out, kind, "val")
        for number in range(EXAMPLES):
            drawer.image(number).save(out / "examples" / f"{kind}_{number}.png")
    return {"items": dict(SCENES), "questions": questions}


def _digits(package: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the drawings of each split, of each class equally many."""
    import numpy as np
    from PIL import Image

    classes = read_digits(package)
    found: dict[str, list[list[np.ndarray[Any, Any]]]] = {split: [] for split in SCENES}
    for digits in classes:
        small = []
        for digit in digits:
            scale = DIGIT / max(digit.size)
            width, height = (max(1, round(side * scale)) for side in digit.size)
            field = Image.new("L", (DIGIT, DIGIT))
            inked = digit.resize((width, height), Image.Resampling.BICUBIC)
            field.paste(inked, ((DIGIT - width) // 2, (DIGIT - height) // 2))
            small.append(np.asarray(field))
        last = int(TRAIN_SHARE * len(small))
        found["train"].append(small[:last])
        found["val"].append(small[last:])
    least = {split: min(map(len, of_classes)) for split, of_classes in found.items()}
    return {
        split: np.stack([np.stack(digits[: least[split]]) for digits in of_classes])
        for split, of_classes in found.items()
    }
