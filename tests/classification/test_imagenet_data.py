"""A copy of ImageNet is checked and led to, in each of the layouts in which it is unpacked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from plugins.classification.data import imagenet
from plugins.classification.data.check import check
from plugins.classification.data.layout import find_images, read_classes
from plugins.contracts.dataset import PrepareError
from study import data
from study.data import contents

# Numbers in WordNet and names as ILSVRC2012 has them; the kit numbers them in another order.
CLASSES = {"n01440764": "tench, Tinca tinca", "n02012849": "crane", "n03126707": "crane"}
KIT = {"n01440764": 449, "n02012849": 1, "n03126707": 700}
VAL = ("n03126707", "n01440764", "n02012849", "n01440764")
"""The classes of val, in the order of its images."""


def photo(path: Path, label: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(list(path.name.encode()))
    pixels = 60 * label + chance.integers(0, 30, (24, 32, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path, format="JPEG")


def images(top: Path, sorted_: bool) -> None:
    for label, name in enumerate(CLASSES):
        for number in range(3):
            photo(top / "train" / name / f"{name}_{number + 10}.JPEG", label)
    for number, name in enumerate(VAL, 1):
        folder = top / "val" / name if sorted_ else top / "val"
        photo(folder / f"ILSVRC2012_val_{number:08}.JPEG", list(CLASSES).index(name))


def kit(folder: Path) -> None:
    """The development kit; a class above others in WordNet is among its synsets."""
    folder.mkdir(parents=True)
    numbers = "".join(f"{KIT[name]}\n" for name in VAL)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(numbers)
    kinds = [("ILSVRC2012_ID", "f8"), ("WNID", "O"), ("words", "O"), ("num_children", "f8")]
    rows = [(KIT[name], name, words, 0) for name, words in CLASSES.items()]
    synsets = np.array([*rows, (1001, "n00001740", "entity", 3)], dtype=kinds)
    savemat(folder / "meta.mat", {"synsets": synsets.reshape(-1, 1)})


def kaggle(folder: Path) -> None:
    rows = [f"ILSVRC2012_val_{n:08},{name} 1 2 3 4 \n" for n, name in enumerate(VAL, 1)]
    (folder / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "".join(rows))
    lines = "".join(f"{name} {words}\n" for name, words in CLASSES.items())
    (folder / "LOC_synset_mapping.txt").write_text(lines)


def by_class(copy: Path) -> Path:
    images(copy, sorted_=True)
    return copy


def with_kit(copy: Path) -> Path:
    images(copy, sorted_=False)
    kit(copy / "ILSVRC2012_devkit_t12" / "data")
    return copy


def by_class_with_kit(copy: Path) -> Path:
    images(copy, sorted_=True)
    kit(copy / "data")
    return copy


def from_kaggle(copy: Path) -> Path:
    images(copy / "ILSVRC" / "Data" / "CLS-LOC", sorted_=False)
    kaggle(copy)
    return copy


def inside_kaggle(copy: Path) -> Path:
    return from_kaggle(copy) / "ILSVRC" / "Data" / "CLS-LOC"


LAYOUTS = {each.__name__: each for each in (by_class, with_kit, by_class_with_kit, from_kaggle)}
LAYOUTS |= {"inside_kaggle": inside_kaggle}


@pytest.fixture
def copy(tmp_path) -> Path:
    return tmp_path / "imagenet"


def prepared(copy: Path, out: Path, subset: bool = True) -> dict:
    out.mkdir()
    counts = imagenet.prepare(copy, out, lambda doing: None, subset)
    return counts | check(out, not counts["official"], lambda doing: None).counts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_have_their_classes_in_each_layout(copy, tmp_path, layout):
    given, out = LAYOUTS[layout](copy), tmp_path / "out"
    before = contents.fingerprint(copy, {})
    counts = prepared(given, out)
    assert counts["items"] == {"train": 9, "val": 4}
    assert not counts["official"]
    names = list(CLASSES) if layout == "by_class" else [
        "tench", "crane (n02012849)", "crane (n03126707)"
    ]  # fmt: skip
    assert read_classes(out) == dict(zip(CLASSES, names, strict=True))
    for split, number in (("train", 9), ("val", 4)):
        found = find_images(out, split)
        assert len(found) == number
        for path, label in found:
            assert (out / path).resolve().is_relative_to(copy)
            assert np.asarray(Image.open(out / path)).mean() // 60 == label
    assert contents.fingerprint(copy, {}) == before


def test_a_part_of_train_takes_its_images_of_a_val_without_folders(copy, tmp_path):
    with_kit(copy)
    shutil.rmtree(copy / "train" / "n01440764")
    assert prepared(copy, tmp_path / "out")["items"] == {"train": 6, "val": 2}
    assert list(read_classes(tmp_path / "out")) == ["n02012849", "n03126707"]


def test_a_part_is_refused_unless_it_is_meant(copy, tmp_path, monkeypatch):
    by_class(copy)
    with pytest.raises(
        PrepareError,
        match=r"9 train images, not 1281167; 4 val images, not 50000; 3 classes, not 1000.*--subs",
    ):
        prepared(copy, tmp_path / "out", subset=False)
    numbers = {"train images": 9, "val images": 4, "classes": 3}
    monkeypatch.setattr(imagenet, "OFFICIAL", numbers)
    assert prepared(copy, tmp_path / "whole", subset=False)["official"]


@pytest.mark.parametrize("layout", ["by_class", "from_kaggle"])
def test_study_prepares_it(copy, tmp_path, monkeypatch, layout):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    LAYOUTS[layout](copy)
    assert data.looks_like_copy("imagenet", copy)
    assert not data.looks_like_copy("imagenet", tmp_path)
    data.prepare_from("imagenet", copy, subset=True)
    card = json.loads((tmp_path / "data" / "imagenet" / "card.json").read_text())
    assert card["line"].endswith("9/4 images; not comparable with ImageNet (ILSVRC2012)")
    assert card["links"]["train"] == 9
    data.verify("imagenet")


def flat_train(copy: Path) -> None:
    for path in list((copy / "train").glob("*/*")):
        path.rename(copy / "train" / path.name)
    for path in (copy / "train").glob("n0*"):
        if path.is_dir():
            path.rmdir()


def archives(copy: Path) -> None:
    for path in list((copy / "train").iterdir()):
        shutil.rmtree(path)
        path.with_suffix(".tar").touch()


def nested(copy: Path) -> None:
    (copy / "train").rename(copy / "inner")
    (copy / "train").mkdir()
    (copy / "inner").rename(copy / "train" / "train")


def one(copy: Path, place: str) -> Path:
    return min((copy / place).rglob("*.JPEG"))


def rewrite(copy: Path, text: str) -> None:
    (copy / "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt").write_text(text)


# what is wrong with a copy whose val has no folders, and the message
MISTAKES = {
    "no folder": (shutil.rmtree, "imagenet does not exist; ImageNet is at https://image-net.org"),
    "no train": (
        lambda copy: shutil.rmtree(copy / "train"),
        "has no train, but val in it",
    ),
    "no val": (lambda copy: shutil.rmtree(copy / "val"), "val is missing; ImageNet"),
    "packed train": (
        archives,
        r"train has no folder of a class, .*not unpacked, 3 \(n01440764",
    ),
    "train without folders": (flat_train, r"9 \(n01440764_10.JPEG.* not in folders of their cla"),
    "train in train": (nested, "such as n01440764, but train in it"),
    "an empty class": (
        lambda copy: (copy / "train" / "n09999999").mkdir(),
        r"train have no .JPEG: 1 \(n09999999\)",
    ),
    "an empty val": (
        lambda copy: [path.unlink() for path in (copy / "val").iterdir()],
        "val has no image: it is empty",
    ),
    "no kit": (
        lambda copy: shutil.rmtree(copy / "ILSVRC2012_devkit_t12"),
        "val has 4 images and no folders of classes, and nothing .*devkit_t12.tar.gz into .*imag",
    ),
    "no meta": (
        lambda copy: (copy / "ILSVRC2012_devkit_t12/data/meta.mat").unlink(),
        "numbers classes by meta.mat, which is not beside it",
    ),
    "a broken meta": (
        lambda copy: (copy / "ILSVRC2012_devkit_t12/data/meta.mat").write_text("no matrix"),
        "meta.mat cannot be read",
    ),
    "no number": (lambda copy: rewrite(copy, "449\nx\n"), "txt, line 2: 'x' is no number of a cla"),
    "a number above": (lambda copy: rewrite(copy, "1001\n"), "line 1: '1001' is no number of a cl"),
    "a short list": (
        lambda copy: rewrite(copy, "449\n1\n"),
        r"no class is known of images of .*: 2 \(ILSVRC2012_val_00000003.JPEG",
    ),
    "a cut image": (
        lambda copy: one(copy, "train").write_bytes(one(copy, "train").read_bytes()[:-90]),
        "n01440764_10.JPEG cannot be read as an image",
    ),
    "an empty image": (lambda copy: one(copy, "val").write_bytes(b""), "1.JPEG is an empty file"),
    "a table of something else": (
        lambda copy: (copy / "LOC_val_solution.csv").write_text("a,b\n1,2\n"),
        "LOC_val_solution.csv is no table of ImageId and PredictionString",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_told(copy, tmp_path, mistake):
    with_kit(copy)
    spoil, message = MISTAKES[mistake]
    spoil(copy)
    with pytest.raises(PrepareError, match=message):
        prepared(copy, tmp_path / "out")


def test_a_class_only_in_val_is_told(copy, tmp_path):
    by_class(copy)
    (copy / "val" / "n01440764").rename(copy / "val" / "n01440765")
    with pytest.raises(PrepareError, match=r"val has classes that train lacks: 1 \(n01440765\)"):
        prepared(copy, tmp_path / "out")
