"""A set of images by class, whoever made it, is refused with a sentence or described as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.classification.data.check import check
from plugins.classification.data.layout import write_boxes, write_classes
from plugins.contracts.dataset import PrepareError

CLASSES = {"a": "apple", "p": "pear", "q": "quince"}


def image(path: Path, size=(10, 6), seed=0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    write_classes(tmp_path, CLASSES)
    for split, count in (("train", 3), ("val", 2)):
        for label, name in enumerate(CLASSES):
            for number in range(count):
                seed = [number, label, count]
                image(tmp_path / split / name / f"{number}.png", seed=seed)
    return tmp_path


def told(folder: Path, whole: bool = True) -> str:
    return "\n".join(check(folder, whole, lambda doing: None).notes)


def test_a_good_set_is_counted(folder):
    image(folder / "train" / "a" / "wide.png", (30, 4), 9)
    image(folder / "train" / "a" / "high.png", (2, 40), 8)
    found = check(folder, True, lambda doing: None)
    assert found.notes == ()
    assert found.counts["images"] == {
        "train": {"apple": 5, "pear": 3, "quince": 3},
        "val": {"apple": 2, "pear": 2, "quince": 2},
    }
    assert found.counts["sizes"]["train"] == {
        "smallest": [2, 4],
        "middle": [10, 6],
        "largest": [30, 40],
    }


def test_a_published_set_is_not_read_whole(folder):
    for number in range(120):
        (folder / "val" / "a" / f"more{number:03}.png").write_bytes(b"no image")
    with pytest.raises(PrepareError, match="cannot be read as an image"):
        told(folder)
    for number in range(120):
        file = folder / "val" / "a" / f"more{number:03}.png"
        image(file, seed=number)
    common = told(folder)
    assert common.startswith("97% of the images of val are of 'apple'")
    (folder / "val" / "a" / "more060.png").write_bytes(b"no image")  # not among 100 of 126
    assert told(folder, whole=False) == common
    (folder / "val" / "a" / "more060.png").write_bytes(b"")
    with pytest.raises(PrepareError, match=r"more060.png is an empty file"):
        told(folder, whole=False)


def test_a_class_that_no_image_has_is_told(folder):
    shutil.rmtree(folder / "val" / "q")
    assert told(folder) == (
        "classes without an image in val, which count nothing there: 1 ('quince')"
    )
    shutil.rmtree(folder / "train" / "q")
    assert told(folder) == "classes without an image to learn from: 1 ('quince')"


def test_boxes_of_a_turned_image_are_refused(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(folder / "val/a/0.png").save(folder / "val/a/0.png", exif=exif)
    assert told(folder) == ""
    write_boxes(folder, {"val/a/0.png": (0, 0, 2, 3)})
    with pytest.raises(PrepareError, match=r"0.png has the EXIF orientation 6"):
        told(folder)


def test_boxes_are_of_the_images(folder):
    write_boxes(folder, {"val/a/0.png": (0, 0, 10, 6), "test/a/0.png": (0, 0, 1, 1)})
    assert told(folder) == ""
    write_boxes(folder, {"val/a/0.png": (5, 0, 10, 6)})
    assert told(folder) == "1 (val/a/0.png) boxes leave their images"


MISTAKES = {
    "a box outside": (
        lambda folder: write_boxes(folder, {"val/a/0.png": (10, 0, 5, 5)}),
        r"the box \[10, 0, 5, 5\] of val/a/0.png lies outside of the image, which has 10 x 6 pix",
    ),
    "a box of no image": (
        lambda folder: write_boxes(folder, {"val/a/7.png": (1, 0, 5, 5)}),
        r"boxes of images that are not there: 1 \(val/a/7.png\)",
    ),
    "a box of no size": (
        lambda folder: write_boxes(folder, {"val/a/0.png": (1, 0, 0, 5)}),
        "val/a/0.png must have",
    ),
    "no val": (lambda folder: shutil.rmtree(folder / "val"), "val of .* has no image in the fold"),
    "no training images of a class": (
        lambda folder: shutil.rmtree(folder / "train" / "p"),
        r"val has images of 1 \('pear'\), of which train has none",
    ),
    "one class": (
        lambda folder: [shutil.rmtree(folder / s / c) for s in ("train", "val") for c in "pq"],
        "train has images of one class only",
    ),
    "no names": (lambda folder: (folder / "classes.json").unlink(), "classes.json cannot be read"),
    "one name twice": (
        lambda folder: (folder / "classes.json").write_text(
            json.dumps({"classes": {"a": "apple", "p": "apple"}})
        ),
        "two or more different names",
    ),
    "a row of pixels": (
        lambda folder: [image(folder / "val/a" / f"{n}.png", (9, 1)) for n in range(2)],
        r"0.png has 9 x 1 pixels and shows nothing.*; 2 \(0.png, 1.png\) are like it",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told(folder, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(folder)
    with pytest.raises(PrepareError, match=message):
        told(folder)
