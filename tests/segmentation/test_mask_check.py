"""A set of masks, whoever made it, is refused with a file named or measured as numpy counts it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perfect_masks import check, evaluated, is_perfect, loaded, write
from PIL import Image

from plugins.contracts.dataset import PrepareError
from study import data

SHAPE = (8, 12)
CLASSES = ("ground", "house", "tree")


def image_place(folder: Path, split: str, name: str) -> Path:
    return folder / "leftImg8bit" / split / f"{name}_leftImg8bit.png"


def label_place(folder: Path, split: str, name: str) -> Path:
    return folder / "gtFine" / split / f"{name}_gtFine_labelTrainIds.png"


def make(folder: Path, labels, classes=CLASSES) -> Path:
    """A set as a package would write it, of labels by split and name."""
    chance = np.random.default_rng(0)
    for split, named in labels.items():
        for name, label in named.items():
            shape = (*np.shape(label)[:2], 3)
            write(image_place(folder, split, name), chance.integers(0, 256, shape, np.uint8))
            write(label_place(folder, split, name), label)
    palette = [[number, 0, 0] for number in range(len(classes))]
    (folder / "meta.json").write_text(json.dumps({"classes": classes, "palette": palette}))
    return folder


def good() -> dict[str, dict[str, np.ndarray]]:
    chance = np.random.default_rng(1)
    values = np.array([0, 1, 2, 255], np.uint8)
    return {
        split: {f"{split}{n}": chance.permuted(np.resize(values, SHAPE), axis=None) for n in "ab"}
        for split in ("train", "val")
    }


def ids(label):
    """Numbers of Cityscapes' labelIds."""
    return np.where(label == 255, 33, label + 7).astype(np.uint8)


def spoil_all(alter):
    return lambda folder: [
        write(path, alter(np.asarray(Image.open(path)))) for path in folder.rglob("*TrainIds.png")
    ]


def replace(split, name, pixels, **options):
    return lambda folder: write(label_place(folder, split, name), pixels, **options)


def said(meta):
    return lambda folder: (folder / "meta.json").write_text(meta)


MISTAKES = {
    "no label": (
        lambda folder: label_place(folder, "val", "vala").unlink(),
        r"val images without gtFine_labelTrainIds.png: 1 \(vala\)",
    ),
    "no image": (
        lambda folder: image_place(folder, "train", "trainb").unlink(),
        r"train labels without leftImg8bit.png: 1 \(trainb\)",
    ),
    "no images of the expected name": (
        lambda folder: [path.rename(path.with_suffix(".jpg"))
                        for path in (folder / "leftImg8bit/train").iterdir()],
        r"leftImg8bit/train has no \*_leftImg8bit.png; it has 2 \(traina_leftImg8bit.jpg",
    ),
    "a broken link": (
        lambda folder: [label_place(folder, "val", "vala").unlink(),
                        label_place(folder, "val", "vala").symlink_to(folder / "gone.png")],
        "gone.png does not exist",
    ),
    "three equal channels": (
        replace("val", "vala", np.zeros((*SHAPE, 3), np.uint8)),
        r"vala_gtFine_labelTrainIds.png has R/G/B channels with 1 colours \(#000000\); all are "
        "equal: save one of them",
    ),
    "colours": (
        replace("val", "vala", np.resize(np.arange(9, dtype=np.uint8), (*SHAPE, 3))),
        r"R/G/B channels with 3 colours .*study data add masks takes colours: -o colours=",
    ),
    "alpha": (replace("val", "vala", np.zeros((*SHAPE, 4), np.uint8)), "has R/G/B/A channels"),
    "an unknown value": (
        lambda folder: write(label_place(folder, "val", "vala"),
                             np.where(good()["val"]["vala"] == 2, 3, 0).astype(np.uint8)),
        r"gtFine/val/vala_gtFine_labelTrainIds.png has the value 3 in 24 pixels, but there are 3 "
        r"classes, 0 to 2, and 255 for none; are there 4 classes",
    ),
    "16 bits that 8 would cut": (
        replace("val", "vala", np.full(SHAPE, 256, np.uint16)), "has the value 256 in 96 pixels"
    ),
    "65535 for none": (
        replace("val", "vala", np.full(SHAPE, 65535, np.uint16)), "has the value 65535 in 96 pixels"
    ),
    "no numbers": (
        replace("val", "vala", np.full(SHAPE, np.inf, np.float32), format="TIFF"),
        "has the value inf in 96 pixels",
    ),
    "from 1": (
        spoil_all(lambda label: np.where(label == 255, 255, label + 1).astype(np.uint8)),
        "and 3 labels are like it; the labels count from 1 to 3: subtract 1",
    ),
    "another size": (
        replace("train", "traina", np.zeros((4, 6), np.uint8)),
        "traina_gtFine_labelTrainIds.png has 6 x 4 pixels, its image has 12 x 8",
    ),
    "transposed": (
        replace("train", "traina", np.zeros(SHAPE[::-1], np.uint8)), "width and height are swapped"
    ),
    "0 and 255": (
        spoil_all(lambda label: np.where(label == 1, 255, 0).astype(np.uint8)),
        "train have one class only, 'ground', and no pixel of 'house', 'tree': .*values=0,255",
    ),
    "nothing in val": (
        lambda folder: [replace("val", name, np.full(SHAPE, 255, np.uint8))(folder)
                        for name in ("vala", "valb")],
        "no pixel of the 2 labels of val has a class",
    ),
    "one class": (
        said('{"classes": ["a"], "palette": [[0,0,0]]}'),
        "classes of meta.json must be 2 to 255 different names",
    ),
    "no palette": (
        said('{"classes": ["a", "b"]}'),
        "meta.json is no object with 'classes' and 'palette'",
    ),
    "a short palette": (
        said('{"classes": ["a", "b"], "palette": [[0,0,0]]}'),
        "palette of meta.json must be 2 colours",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_a_set_is_told_before_training(tmp_path, mistake):
    spoil, message = MISTAKES[mistake]
    folder = make(tmp_path / "masks", good())
    spoil(folder)
    with pytest.raises(PrepareError, match=message):
        check(folder)


def test_cityscapes_ids_are_recognised(tmp_path):
    classes = [f"class {number}" for number in range(19)]
    folder = make(tmp_path / "masks", good(), classes)
    spoil_all(ids)(folder)
    with pytest.raises(PrepareError, match=r"value 33 in 24 .*Cityscapes' labelIds"):
        check(folder)


def test_a_message_names_the_file_of_its_user_and_not_the_link(tmp_path):
    folder = make(tmp_path / "masks", good())
    theirs = write(tmp_path / "theirs" / "a.png", np.full(SHAPE, 9, np.uint8))
    label_place(folder, "val", "vala").unlink()
    label_place(folder, "val", "vala").symlink_to(theirs)
    with pytest.raises(PrepareError, match=f"^{re.escape(str(theirs))} has the value 9"):
        check(folder)


def test_a_good_set_is_measured_right(tmp_path):
    labels = good()
    folder = make(tmp_path / "masks", labels)
    assert check(folder).notes == ()
    is_perfect(folder, labels)


def test_colours_that_change_from_file_to_file_are_told(tmp_path):
    folder, labels = tmp_path / "masks", good()
    make(folder, labels)
    for number, (name, label) in enumerate(labels["train"].items()):
        image = Image.fromarray(label, "P")
        image.putpalette([number, 7, 7] * 256)
        write(label_place(folder, "train", name), image)
    assert check(folder).notes == (
        "1 (trainb_gtFine_labelTrainIds.png) labels show a class in another colour than others do; "
        "numbers count, not colours",
    )
    is_perfect(folder, labels)


MODES = {
    "8 bits": np.uint8, "1 bit": bool, "16 bits": np.uint16, "32 bits": np.int32,
    "float": np.float32, "RGB": None, "a palette": None,
}  # fmt: skip


@st.composite
def sets(draw):
    """Labels of any kind, most of them right; their values lie around those of the classes."""
    highest = draw(st.sampled_from([2, 2, 3, 255]))
    rows, columns = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    values = st.lists(
        st.integers(0, highest) | st.sampled_from([0, 1, 2, 255]),
        min_size=rows * columns,
        max_size=rows * columns,
    )
    labels = {}
    for split in ("train", "val"):
        labels[split] = {}
        for number in range(draw(st.integers(1, 2))):
            plain = np.reshape(draw(values), (rows, columns))
            mode = draw(st.sampled_from([*MODES, *["8 bits"] * 8]))
            if mode == "RGB":
                label = Image.fromarray(np.dstack([plain] * 3).astype(np.uint8))
            elif mode == "a palette":
                label = Image.fromarray(plain.astype(np.uint8), "P")
                label.putpalette([*range(256)] * 3)
            else:
                label = Image.fromarray(plain.astype(MODES[mode]))
            labels[split][f"{split}{number}"] = (label, plain > 0 if mode == "1 bit" else plain)
    return labels


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sets())
def test_any_labels_are_refused_with_a_name_or_measured_right(tmp_path, labels):
    folder = tmp_path / "masks"
    shutil.rmtree(folder, ignore_errors=True)
    truth = {s: {n: plain.astype(np.uint8) for n, (_, plain) in labels[s].items()} for s in labels}
    make(folder, truth)
    for split, named in labels.items():
        for name, (image, _) in named.items():
            path = label_place(folder, split, name)
            image.save(path, format="TIFF" if image.mode in ("F", "I") else "PNG")
    right = set(range(len(CLASSES)))
    values = {s: np.concatenate([p.ravel() for _, p in labels[s].values()]) for s in labels}
    try:
        found = check(folder)
    except PrepareError as error:
        named = [name for split in labels for name in labels[split] if name in str(error)]
        whole = "labels of train" in str(error) or "labels of val" in str(error)
        assert named or whole
        assert (
            any(1 in p.shape for s in labels for _, p in labels[s].values())
            or any(image.mode == "RGB" for s in labels for image, _ in labels[s].values())
            or any(set(v.tolist()) - right - {255} for v in values.values())
            or not set(values["val"].tolist()) & right
            or len(set(values["train"].tolist()) & right) < 2
        )
        return
    for split, plain in values.items():
        pixels = np.bincount(plain, minlength=256)
        assert [*found.counts["pixels"][split].values()] == pixels[:3].tolist()
        assert found.counts["pixels_without_class"][split] == pixels[255]
        assert pixels.sum() == pixels[:3].sum() + pixels[255]
    for split, named in loaded(folder, "val").items():
        assert np.array_equal(named[1], truth["val"][split])
    assert evaluated(folder, truth["val"])["mIoU"] == 1.0


@pytest.mark.data
def test_the_embedded_set_is_measured_right():
    data.prepare(["landcover"])
    folder = data.path("landcover")
    truth = {
        path.name.removesuffix("_gtFine_labelTrainIds.png"): np.asarray(Image.open(path))
        for path in (folder / "gtFine" / "val").rglob("*.png")
    }
    found = evaluated(folder, truth)
    assert found == {"aAcc": 1.0, "mIoU": 1.0, "mAcc": 1.0, "classes": 7}
    assert len(truth) == data.card("landcover")["counts"]["items"]["val"]
