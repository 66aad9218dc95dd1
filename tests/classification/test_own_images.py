"""A user's own folders of images: what the door takes in is what lies there, and told if odd."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import mmcv
import numpy as np
import pytest
from PIL import Image

from plugins.classification.data.check import check
from plugins.classification.data.layout import find_images, read_classes
from study import data
from study.data import building
from study.errors import StudyError

COLOURS = {"cat": (200, 60, 40), "dog": (40, 60, 200), "newt": (60, 180, 60)}


def save(path: Path, colour=(1, 2, 3), size=(12, 8), **options) -> Path:
    """An image of nearly one colour, with noise of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(list(str(path.name).encode()))
    noise = chance.integers(0, 20, (size[1], size[0], 3))
    Image.fromarray((np.array(colour) + noise).astype(np.uint8)).save(path, **options)
    return path


@pytest.fixture
def copy(tmp_path) -> Path:
    folder = tmp_path / "copy"
    for name, colour in COLOURS.items():
        for split, count in (("train", 4), ("val", 2)):
            for number in range(count):
                save(folder / split / name / f"{name}_{split}{number}.png", colour)
    return folder


@pytest.fixture(autouse=True)
def checked(monkeypatch):
    """Every set is checked as the task checks it."""
    monkeypatch.setattr(building, "_check", lambda task, *arguments: check(*arguments))


@pytest.fixture
def add(tmp_path):
    def add(copy: Path, *options: str) -> Path:
        data.add("images", "mine", copy, options, tmp_path / "data")
        return tmp_path / "data" / "mine"

    return add


def card(folder: Path) -> dict:
    return json.loads((folder / "card.json").read_text())


def notes(folder: Path) -> str:
    return "\n".join(card(folder)["notes"])


def flat(copy: Path) -> Path:
    """The same images without folders of splits."""
    for path in sorted(copy.glob("*/*/*")):
        target = copy / path.parent.name / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    for split in ("train", "val"):
        shutil.rmtree(copy / split)
    return copy


def test_images_have_the_class_of_their_folder(copy, add):
    folder = add(copy)
    assert list(read_classes(folder).values()) == ["cat", "dog", "newt"]
    for split, count in (("train", 4), ("val", 2)):
        found = find_images(folder, split)
        assert len(found) == 3 * count
        for path, label in found:
            assert (folder / path).resolve() == (copy / path)
            seen = np.asarray(Image.open(folder / path)).mean((0, 1))
            nearest = min(COLOURS, key=lambda name: abs(seen - COLOURS[name]).sum())
            assert nearest == list(COLOURS)[label]
    counts = card(folder)["counts"]
    assert counts["items"] == {"train": 12, "val": 6}
    assert counts["images"]["val"] == {"cat": 2, "dog": 2, "newt": 2}
    assert counts["sizes"]["train"] == {word: [12, 8] for word in ("smallest", "middle", "largest")}
    assert card(folder)["notes"] == []


def test_other_words_for_the_splits_and_mixed_formats_are_taken_in(copy, add):
    (copy / "train").rename(copy / "Training")
    (copy / "val").rename(copy / "validation")
    for number, end in enumerate(("JPG", "jpeg", "bmp", "webp", "tif")):
        save(copy / "Training" / "cat" / f"more{number}.{end}")
    folder = add(copy)
    assert card(folder)["counts"]["items"] == {"train": 17, "val": 6}
    assert all(path.startswith("train/") for path, _ in find_images(folder, "train"))


def test_nested_folders_and_links_are_followed_once(copy, add, tmp_path):
    far = save(tmp_path / "elsewhere" / "far.png").parent
    save(copy / "train" / "cat" / "2024" / "may" / "a.png")
    save(copy / "train" / "cat" / ".thumbnails" / "a.png")
    (copy / "train" / "dog" / "far").symlink_to(far)
    (copy / "train" / "dog" / "far.png").symlink_to(far / "far.png")
    (copy / "train" / "newt" / "again").symlink_to(copy / "train" / "newt")
    found = [path for path, _ in find_images(add(copy), "train")]
    assert "train/cat/2024/may/a.png" in found
    assert "train/dog/far/far.png" in found
    assert len(found) == 12 + 3
    assert len([path for path in found if "/newt/" in path]) == 4


def test_a_share_of_each_class_becomes_val_the_same_again(copy, add, tmp_path):
    save(copy / "train" / "toad" / "only.png")
    folder = add(flat(copy), "val_share=0.3")
    val = {path for path, _ in find_images(folder, "val")}
    counts = card(folder)["counts"]["images"]
    assert counts["val"] == {"cat": 2, "dog": 2, "newt": 2, "toad": 0}  # round(0.3 * 6)
    assert counts["train"] == {"cat": 4, "dog": 4, "newt": 4, "toad": 1}
    assert "without an image in val, which count nothing there: 1 ('toad')" in notes(folder)
    train = {path.removeprefix("train/") for path, _ in find_images(folder, "train")}
    assert train.isdisjoint(path.removeprefix("val/") for path in val)

    def drawn(name: str, *options: str) -> set[str]:
        data.add("images", name, copy, options, tmp_path / "data")
        return {path for path, _ in find_images(tmp_path / "data" / name, "val")}

    assert drawn("again", "val_share=0.3") == val
    others = drawn("other", "val_share=0.3", "seed=1")
    assert len(others) == len(val)
    assert others != val


def test_a_photo_that_its_exif_turns_is_taken_in_and_seen_upright(copy, add):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(copy / "train" / "cat" / "turned.jpg", size=(30, 10), exif=exif)
    folder = add(copy)
    seen = mmcv.imfrombytes(
        (folder / "train/cat/turned.jpg").read_bytes(), flag="color", backend="cv2"
    )
    assert Image.open(path).size == (30, 10)
    assert seen.shape == (30, 10, 3)
    save(copy / "val" / "cat" / "turned.webp", exif=exif)
    with pytest.raises(StudyError, match=r"turned.webp has the EXIF orientation 6, by which view"):
        data.add("images", "other", copy, (), folder.parent)


def test_the_same_image_in_both_splits_or_under_two_classes_is_told(copy, add):
    shutil.copy(copy / "train/cat/cat_train0.png", copy / "val/cat/other_name.png")
    shutil.copy(copy / "train/dog/dog_train1.png", copy / "train/newt/dog.png")
    told = notes(add(copy))
    assert "1 (val/cat/other_name.png) images of val are in train too" in told
    assert "of two classes: 1 (train/dog/dog_train1.png = train/newt/dog.png)" in told


def test_what_is_left_out_is_told(copy, add):
    (copy / "train" / "cat" / "notes.txt").write_text("x")
    (copy / "train" / "cat" / "Thumbs.db").write_text("x")
    (copy / "train" / "lynx").mkdir()
    (copy / "__MACOSX").mkdir()
    folder = add(copy)
    assert list(read_classes(folder)) == ["cat", "dog", "newt"]
    assert "left out of train, as no images by their endings: 2 (cat/Thumbs.db, " in notes(folder)
    assert "classes without an image, left out: 1 (lynx)" in notes(folder)


def test_a_class_with_most_images_is_told(copy, add):
    for number in range(9):
        save(copy / "train" / "cat" / f"more{number}.png")
    assert "62% of the images of train are of 'cat'" in notes(add(copy))


def test_cmyk_is_taken_in_and_told(copy, add):
    Image.new("CMYK", (9, 9), (10, 90, 30, 0)).save(copy / "train/cat/print.jpg")
    assert "1 (print.jpg) in CMYK: training sees OpenCV's conversion" in notes(add(copy))


def empty(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        path.unlink()


def cut(path: Path) -> None:
    save(path, size=(60, 60))
    path.write_bytes(path.read_bytes()[:-200])


def deep(path: Path) -> None:
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(path)


def only(copy: Path, name: str) -> None:
    for path in copy.glob("*/*"):
        if path.name != name:
            shutil.rmtree(path)


def two_valid(copy: Path) -> None:
    (copy / "valid").mkdir()


def no_utf8(copy: Path) -> None:
    (copy / "train" / os.fsdecode(b"caf\xe9")).mkdir()


# what is wrong, the options, the message
MISTAKES = {
    "no folder": (shutil.rmtree, (), "copy does not exist; what is expected: a folder a class"),
    "no train": (lambda copy: shutil.rmtree(copy / "train"), (), "copy has val, but no train"),
    "no val": (
        lambda copy: shutil.rmtree(copy / "val"), (),
        r"does not say which of its 12 images are val; .*-o val_share=0.2$",
    ),
    "test instead of val": (
        lambda copy: (copy / "val").rename(copy / "test"), (), "or rename test if it may be looked"
    ),
    "val and a share": (lambda copy: None, ("val_share=0.2",), "val_share=0.2, but .* has val"),
    "two folders of val": (two_valid, (), "copy has val and valid; which is meant"),
    "no class": (
        lambda copy: save(copy / "train" / "loose.png"), (),
        r"train has images outside of the folders of the classes: 1 \(loose.png\)",
    ),
    "no image": (empty, (), "train has no image in a folder of a class; files that end in .png"),
    "one class": (
        lambda copy: only(copy, "cat"), (), "images of one class only, 'cat': there is nothing to"
    ),
    "a class only in val": (
        lambda copy: save(copy / "val" / "lynx" / "a.png"), (),
        r"val of .*copy has images of 1 \('lynx'\), of which train has none",
    ),
    "a class empty in train": (
        lambda copy: empty(copy / "train" / "dog"), (), r"images of 1 \('dog'\), of which train has"
    ),
    "other case": (
        lambda copy: (copy / "val" / "cat").rename(copy / "val" / "Cat"), (),
        r"look alike: 'cat' and 'Cat' \(of val\); give a class one name",
    ),
    "composed and decomposed letters": (
        lambda copy: [save(copy / "train" / f"caf{e}" / "a.png") for e in ("\u00e9", "e\u0301")],
        (), "has folders whose names look alike",
    ),
    "another encoding": (no_utf8, (), r"whose name is not in UTF-8: b'caf\\xe9'; rename it"),
    "a cut JPEG": (
        lambda copy: cut(copy / "val/cat/c.jpg"), (), "copy/val/cat/c.jpg cannot be read as an im"
    ),
    "text": (
        lambda copy: (copy / "train/cat/t.png").write_text("hello"), (), "t.png cannot be read as"
    ),
    "an empty file": (
        lambda copy: (copy / "train/cat/e.png").touch(), (), "copy/train/cat/e.png is an empty file"
    ),
    "a broken link": (
        lambda copy: (copy / "train/cat/l.png").symlink_to(copy / "gone.png"), (),
        "gone.png does not exist",
    ),
    "16 bits": (lambda copy: deep(copy / "train/cat/d.png"), (), "d.png is no image of 8 bits"),
    "a placeholder": (
        lambda copy: save(copy / "train/cat/p.png", size=(1, 1)), (),
        "copy/train/cat/p.png has 1 x 1 pixels and shows nothing",
    ),
    "no share": (lambda copy: None, ("val_share=1",), "val_share=1: Input should be less than 1"),
    "no seed": (lambda copy: None, ("seed=x",), "seed=x: Input should be a valid integer"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_told_and_leaves_nothing(copy, add, tmp_path, mistake):
    spoil, options, message = MISTAKES[mistake]
    spoil(copy)
    with pytest.raises(StudyError, match=message):
        add(copy, *options)
    assert not (tmp_path / "data" / "mine").exists()


def test_the_folder_above_the_classes_is_asked_for(copy, add):
    inside = flat(copy).rename(copy.parent / "photos")
    (copy / "photos").parent.mkdir()
    inside.rename(copy / "photos")
    with pytest.raises(StudyError, match=r"if its folders are the classes: --from .*copy/photos"):
        add(copy, "val_share=0.2")


def test_a_share_of_classes_of_one_image_is_refused(tmp_path, add):
    for name in COLOURS:
        save(tmp_path / "few" / name / "a.png")
    with pytest.raises(StudyError, match="val_share divides classes of two images and more"):
        add(tmp_path / "few", "val_share=0.5")
