"""A copy of CUB-200-2011 is checked, divided as its lists say, and keeps its boxes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.classification.data import cub
from plugins.classification.data.check import check
from plugins.classification.data.layout import find_images, read_boxes, read_classes
from plugins.contracts.dataset import PrepareError
from study import data
from study.data import contents

SPECIES = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "023.Brandt_Cormorant")


@pytest.fixture
def copy(tmp_path) -> Path:
    """Files as the archive unpacks; an image's grey is its class."""
    top = tmp_path / "birds" / "CUB_200_2011"
    lists = {name: [] for name in cub.LISTS}
    lists["classes.txt"] = [f"{number} {name}" for number, name in enumerate(SPECIES, 1)]
    image = 0
    for label, species in enumerate(SPECIES, 1):
        (top / "images" / species).mkdir(parents=True)
        for number in range(4):
            image += 1
            name = f"{species}/{species[4:]}_{number:04}_{image * 37}.jpg"
            pixels = np.full((30, 40, 3), 50 * label + number, np.uint8)
            Image.fromarray(pixels).save(top / "images" / name)
            lists["images.txt"].append(f"{image} {name}")
            lists["image_class_labels.txt"].append(f"{image} {label}")
            lists["train_test_split.txt"].append(f"{image} {int(number != 1)}")
            lists["bounding_boxes.txt"].append(f"{image} {image}.0 2.0 20.0 25.0")
    for name, lines in lists.items():
        (top / name).write_text("".join(f"{line}\n" for line in lines))
    return top


def prepared(copy: Path, out: Path, subset: bool = True) -> dict:
    out.mkdir()
    counts = cub.prepare(copy, out, lambda doing: None, subset)
    return counts | check(out, not counts["official"], lambda doing: None).counts


@pytest.mark.parametrize("above", [False, True])
def test_images_are_divided_and_linked_and_the_copy_stays(copy, tmp_path, above):
    out, before = tmp_path / "out", contents.fingerprint(copy, {})
    counts = prepared(copy.parent if above else copy, out)
    assert counts["items"] == {"train": 9, "val": 3}
    assert not counts["official"]
    assert list(read_classes(out).values()) == [
        "Black footed Albatross",
        "Laysan Albatross",
        "Brandt Cormorant",
    ]
    boxes = read_boxes(out)
    number = {
        line.split()[1]: int(line.split()[0])
        for line in (copy / "images.txt").read_text().splitlines()
    }
    for split, each in (("train", 9), ("val", 3)):
        found = find_images(out, split)
        assert len(found) == each
        for path, label in found:
            assert (out / path).resolve().is_relative_to(copy / "images")
            grey = np.asarray(Image.open(out / path)).mean()
            assert round(grey) // 50 == label + 1
            assert (round(grey) % 50 == 1) == (split == "val")
            assert boxes[path] == (number[path.partition("/")[2]], 2, 20, 25)
    assert contents.fingerprint(copy, {}) == before


def test_a_part_is_refused_unless_it_is_meant(copy, tmp_path, monkeypatch):
    with pytest.raises(
        PrepareError,
        match=r"9 train images, not 5994; 3 val images, not 5794; 3 classes, not 200.*--subset",
    ):
        prepared(copy, tmp_path / "out", subset=False)
    numbers = {"train images": 9, "val images": 3, "classes": 3}
    monkeypatch.setattr(cub, "OFFICIAL", numbers)
    assert prepared(copy, tmp_path / "whole", subset=False)["official"]


def test_study_prepares_it(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    assert data.looks_like_copy("cub", copy.parent)
    assert not data.looks_like_copy("cub", tmp_path)
    data.prepare_from("cub", copy, subset=True)
    card = json.loads((tmp_path / "data" / "cub" / "card.json").read_text())
    assert card["line"] == (
        "part of CUB-200-2011 (images under their owners' licences; for non-commercial research and"
        " education only), 9/3 images; not comparable with CUB-200-2011"
    )
    data.verify("cub")


def alter(name: str, before: str, after: str):
    def spoil(copy: Path) -> None:
        text = (copy / name).read_text()
        assert before in text
        (copy / name).write_text(text.replace(before, after))

    return spoil


def older(copy: Path) -> None:
    (copy / "lists").mkdir()
    (copy / "images.txt").unlink()


MISTAKES = {
    "no folder": (shutil.rmtree, "CUB_200_2011 does not exist; CUB-200-2011 is at https://"),
    "another year": (older, "images.txt is missing: this is CUB-200 of 2010"),
    "no boxes": (
        lambda copy: (copy / "bounding_boxes.txt").unlink(),
        "bounding_boxes.txt is missing; CUB",
    ),
    "no images": (
        lambda copy: shutil.rmtree(copy / "images"),
        r"images of .*/images are missing: 12 \(001",
    ),
    "a line of one word": (
        alter("image_class_labels.txt", "5 2\n", "5\n"),
        r"image_class_labels.txt, line 5: '5'; the number of an image and that of a class is mean",
    ),
    "an image twice": (alter("images.txt", "5 002", "4 002"), "images.txt, line 5: '4 002.Laysan"),
    "another class": (
        alter("image_class_labels.txt", "5 2\n", "5 1\n"),
        "image 5 is 002.Laysan_Albatross/.*, and image_class_labels.txt that its class is 1",
    ),
    "no class": (alter("image_class_labels.txt", "5 2\n", ""), r"that its class is None \(None\)"),
    "another split": (
        alter("train_test_split.txt", "12 1", "12 2"),
        "train_test_split.txt says '2' of image 12, not 1 for train or 0 for test",
    ),
    "a box of three numbers": (
        alter("bounding_boxes.txt", "7 7.0 2.0 ", "7 7.0 "),
        "bounding_boxes.txt says '7.0 20.0 25.0' of image 7",
    ),
    "a box outside": (
        alter("bounding_boxes.txt", "7 7.0", "7 70.0"),
        r"the box \[70.0, 2.0, 20.0, 25.0\] of train/002.Laysan",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_told(copy, tmp_path, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(copy)
    with pytest.raises(PrepareError, match=message):
        prepared(copy, tmp_path / "out")
