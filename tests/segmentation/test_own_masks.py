"""A user's own masks: what the door takes in trains and is measured as what the files mean."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perfect_masks import check, is_perfect, loaded, write
from PIL import Image

from plugins.segmentation.data.masks import MaskOptions, Masks
from study import data
from study.errors import StudyError

CLASSES = ("background", "field", "water")
COLOURS = ((10, 20, 30), (255, 211, 0), (79, 153, 224))
NUMBERS = {"train": 3, "val": 2}
SHAPE = (12, 20)


def make(split: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo, (height, width, RGB), and its label, in which every class and 255 occur."""
    chance = np.random.default_rng([number, split == "val"])
    label = chance.choice([0, 1, 2, 255], SHAPE, p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8)
    label[0, :4] = [0, 1, 2, 255]
    return chance.integers(0, 256, (*SHAPE, 3), dtype=np.uint8), label


def as_it_is(label):
    return label


def palette(label):
    image = Image.fromarray(label, "P")
    image.putpalette([value for colour in (*COLOURS, *[(1, 1, 1)] * 253) for value in colour])
    return image


def colours(label):
    table = np.full((256, 3), 200, np.uint8)
    table[:3] = COLOURS
    return table[label]


def mapped(*values):
    """Write these values for the three classes and for none."""

    def write(label):
        table = np.zeros(256, np.int32)
        table[[0, 1, 2, 255]] = values
        return table[label].astype(np.uint16 if max(values) > 255 else np.uint8)

    return write


GIVEN = f"classes={','.join(CLASSES)}"
SAID_COLOURS = "colours=" + ",".join("#" + bytes(colour).hex() for colour in COLOURS)
# what the label files hold -> what their user says of them
ENCODINGS = {
    "numbers": (as_it_is, ()),
    "numbers, 255 named": (as_it_is, ("ignore=255",)),
    "a palette": (palette, ()),
    "16 bits": (lambda label: label.astype(np.uint16), ()),
    "three equal channels": (lambda label: np.stack([label] * 3, -1), ()),
    "from 1, 0 for none": (mapped(1, 2, 3, 0), ("ignore=0",)),
    "values": (mapped(0, 128, 255, 7), ("values=0,128,255", "ignore=7")),
    "large values": (mapped(7, 300, 1000, 65535), ("values=7,300,1000", "ignore=65535")),
    "another order": (mapped(2, 0, 1, 255), ("values=2,0,1",)),
    "colours": (colours, (SAID_COLOURS, "ignore=#c8c8c8")),
    "colours with alpha": (
        lambda label: np.dstack([colours(label), np.full(SHAPE, 255, np.uint8)]),
        (SAID_COLOURS, "ignore=#C8C8C8"),
    ),
    "a palette by its colours": (
        lambda label: Image.fromarray(colours(label)).quantize(8),
        (SAID_COLOURS, "ignore=#c8c8c8"),
    ),
}


def place(copy: Path, images: str, labels: str, encode=as_it_is, **options) -> dict:
    """Write the files; return the labels that they mean, by split and name."""
    truth = {}
    for split, count in NUMBERS.items():
        truth[split] = {}
        for number in range(count):
            image, label = make(split, number)
            name = f"{split}{number}"
            write(copy / images.format(split=split, name=name), image)
            write(copy / labels.format(split=split, name=name), encode(label), **options)
            truth[split][name] = label
    return truth


@pytest.fixture
def add(tmp_path):
    def add(copy: Path, *options: str) -> Path:
        data.add("masks", "mine", copy, options, tmp_path / "data")
        return tmp_path / "data" / "mine"

    return add


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_labels_mean_what_their_user_says(tmp_path, add, encoding):
    encode, said = ENCODINGS[encoding]
    copy = tmp_path / "copy"
    truth = place(copy, "images/{split}/{name}.png", "labels/{split}/{name}.png", encode)
    folder = add(copy, GIVEN, *said)
    is_perfect(folder, truth)
    counts = json.loads((folder / "card.json").read_text())["counts"]
    assert counts["items"] == NUMBERS
    for split, labels in truth.items():
        pixels = np.bincount(np.concatenate([*labels.values()]).ravel(), minlength=256)
        assert counts["pixels"][split] == dict(zip(CLASSES, pixels[:3].tolist(), strict=True))
        assert counts["pixels_without_class"][split] == pixels[255]
    linked = [path.is_symlink() for path in sorted((folder / "gtFine").rglob("*.png"))]
    assert linked == [encoding in ("numbers", "numbers, 255 named", "a palette")] * 5


def test_black_and_white_masks_have_two_classes(tmp_path, add):
    """Of 8 bits, and of one bit, whose 1 every viewer shows as 255."""
    copy = tmp_path / "copy"
    truth = place(copy, "images/{split}/{name}.png", "masks/{split}/{name}.png")
    for split, labels in truth.items():
        for name, label in labels.items():
            labels[name] = (label == 1).astype(np.uint8)
            file = write(copy / f"masks/{split}/{name}.png", labels[name] * 255)
            if split == "val":
                Image.open(file).convert("1").save(file)
    is_perfect(add(copy, "classes=no,yes", "values=0,255"), truth)


LAYOUTS = {
    "jpg": ("images/{split}/{name}.jpg", "labels/{split}/{name}.png"),
    "capitals": ("Images/{split}/{name}.PNG", "Masks/{split}/{name}.PNG"),
    "tiff and bmp": ("images/{split}/{name}.tif", "labels/{split}/{name}.bmp"),
    "mask at the end": ("images/{split}/{name}.jpeg", "masks/{split}/{name}_mask.png"),
    "image and mask at the end": (
        "images/{split}/{name}_image.png",
        "masks/{split}/{name}_mask.png",
    ),
    "mmseg's": ("img_dir/{split}/{name}.jpg", "ann_dir/{split}/{name}.png"),
    "the split first": ("{split}/images/{name}.jpg", "{split}/labels/{name}.png"),
    "other words for splits": ("images/{split}/{name}.png", "annotations/{split}/{name}.png"),
    "Cityscapes'": (
        "leftImg8bit/{split}/ulm/{name}_leftImg8bit.png",
        "gtFine/{split}/ulm/{name}_gtFine_labelTrainIds.png",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_in_use_are_taken_in(tmp_path, add, layout):
    images, labels = LAYOUTS[layout]
    copy = tmp_path / "copy"
    truth = place(copy, images, labels)
    if layout == "other words for splits":
        for side in ("images", "annotations"):
            (copy / side / "train").rename(copy / side / "Training")
            (copy / side / "val").rename(copy / side / "validation")
    folder = add(copy, GIVEN)
    end = "_image" if "_image" in images else ""
    is_perfect(folder, {s: {f"{name}{end}": truth[s][name] for name in truth[s]} for s in truth})
    for split in NUMBERS:
        for name, (image, _) in loaded(folder, split).items():
            (linked,) = (folder / "leftImg8bit" / split).rglob(f"{name}_leftImg8bit.png")
            file = linked.resolve()
            assert file.stem.removesuffix("_leftImg8bit") == name
            # Two decoders of a JPEG round differently.
            rounding = 4 * file.suffix.lower().startswith(".jp")
            assert np.abs(image - np.asarray(Image.open(file), int)).max() <= rounding


def test_a_set_like_pascal_voc_has_what_its_lists_name(tmp_path, add):
    copy = tmp_path / "VOC2012"
    truth = place(copy, "JPEGImages/{name}.jpg", "SegmentationClass/{name}.png", palette)
    write(copy / "JPEGImages" / "boxes_only.jpg", make("train", 9)[0])
    (copy / "Annotations").mkdir()
    (copy / "Annotations" / "boxes_only.xml").write_text("<annotation/>")
    write(copy / "SegmentationObject" / "train0.png", palette(make("train", 0)[1]))
    for split, labels in truth.items():
        file = copy / "ImageSets" / "Segmentation" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{name} 1\n" for name in labels) + "\n")
    folder = add(copy, GIVEN)
    is_perfect(folder, truth)
    assert json.loads((folder / "meta.json").read_text())["palette"] == [list(c) for c in COLOURS]


def test_a_share_becomes_val_by_the_names_alone(tmp_path, add):
    copy = tmp_path / "copy"
    truth = place(copy, "images/{name}.png", "labels/{name}.png")
    everything = {name: label for labels in truth.values() for name, label in labels.items()}
    folder = add(copy, GIVEN, "val_share=0.4")
    parts = {split: set(loaded(folder, split)) for split in NUMBERS}
    assert {split: len(names) for split, names in parts.items()} == {"train": 3, "val": 2}
    assert parts["train"] | parts["val"] == everything.keys()
    is_perfect(folder, {s: {name: everything[name] for name in parts[s]} for s in parts})
    data.add("masks", "again", copy, (GIVEN, "val_share=0.4"), tmp_path / "other")
    assert set(loaded(tmp_path / "other" / "again", "val")) == parts["val"]


@pytest.mark.parametrize("file", ["classes.txt", "meta.json"])
def test_a_file_may_say_the_classes(tmp_path, add, file):
    copy = tmp_path / "copy"
    truth = place(copy, "images/{split}/{name}.png", "labels/{split}/{name}.png")
    said = {"classes.txt": "\n".join(CLASSES), "meta.json": json.dumps({"classes": CLASSES})}
    (copy / file).write_text(said[file])
    folder = add(copy)
    is_perfect(folder, truth)
    assert json.loads((folder / "meta.json").read_text())["classes"] == list(CLASSES)


def remove(*names):
    def spoil(copy):
        for name in names:
            (copy / name).unlink()

    return spoil


def change(name, alter):
    """Write a label anew."""

    def spoil(copy):
        alter(np.asarray(Image.open(copy / name)).copy(), copy / name)

    return spoil


def one_pixel(value):
    def alter(label, path):
        label[3, 3] = value
        write(path, label)

    return alter


def every(alter):
    def spoil(copy):
        for path in sorted((copy / "labels").rglob("*.png")):
            write(path, alter(np.asarray(Image.open(path))))

    return spoil


def other_palette(copy):
    for number, path in enumerate(sorted((copy / "labels/train").iterdir())):
        label = palette(np.asarray(Image.open(path)))
        label.putpalette([90 * number, 0, 0] + [255, 255, 0] * 255)
        write(path, label)


MISTAKES = {
    "no folder": (lambda copy: copy.rename(copy.with_name("away")), (), "copy does not exist"),
    "an unknown layout": (
        lambda copy: (copy / "labels").rename(copy / "Ground truth"),
        (), r"copy has 2 \(Ground truth, images\); what is expected: images/train",
    ),
    "no val": (
        lambda copy: [(copy / side / "val").rename(copy / f"other {side}")
                      for side in ("images", "labels")],
        (), "does not say which of its 3 images are val; .*-o val_share=0.2",
    ),
    "a list that names what is not there": (
        lambda copy: [(copy / "images").rename(copy / "JPEGImages"),
                      (copy / "labels").rename(copy / "SegmentationClass"),
                      (copy / "ImageSets/Segmentation").mkdir(parents=True),
                      (copy / "ImageSets/Segmentation/train.txt").write_text("train/train0\ngone")],
        (), r"train.txt names 1 \(gone\), which .*JPEGImages does not have",
    ),
    "half of a split": (
        lambda copy: [(copy / "images/train").rename(copy / "pictures"),
                      (copy / "labels").rename(copy / "train"),
                      (copy / "images").rename(copy / "val")],
        (), "copy/train does not have both, images and labels",
    ),
    "a share of what has val": ((lambda copy: None), ("val_share=0.5",), "has a val already"),
    "labels of one split": (
        lambda copy: (copy / "labels/val").rename(copy / "labels/test"),
        (), "images/val has no counterpart in .*labels",
    ),
    "an image without label": (
        remove("labels/val/val1.png"),
        (), r"images/val without a label in .*labels/val: 1 \(val1.png\)",
    ),
    "a label without image": (
        remove("images/val/val1.png"),
        (), r"labels of .*labels/val without an image in .*images/val: 1 \(val1\)",
    ),
    "two images of a name": (
        lambda copy: write(copy / "images/val/val1.jpg", make("val", 1)[0]),
        (), "two images of one name: .*val1.jpg and .*val1.png",
    ),
    "a cut image": (
        lambda copy: (copy / "images/val/val1.png").write_bytes(
            (copy / "images/val/val1.png").read_bytes()[:-200]),
        (), "copy/images/val/val1.png cannot be read as an image",
    ),
    "a cut label": (
        lambda copy: (copy / "labels/val/val1.png").write_bytes(b"no image"),
        (), "copy/labels/val/val1.png cannot be read as an image",
    ),
    "a turned image": (
        lambda copy: write(copy / "images/val/val1.jpg", Image.open(copy / "images/val/val1.png"),
                           exif=exif(6)) and remove("images/val/val1.png")(copy),
        (), "images/val/val1.jpg has the EXIF orientation 6",
    ),
    "a turned label": (
        lambda copy: write(copy / "labels/val/val1.png", make("val", 1)[1], exif=exif(6)),
        (), "labels/val/val1.png has the EXIF orientation 6, which training ignores",
    ),
    "a label that is smaller": (
        change("labels/train/train1.png", lambda label, path: write(path, label[::2, ::2])),
        (), "train1.png has 10 x 6 pixels, its image has 20 x 12: .*images/train/train1.png",
    ),
    "a label that is transposed": (
        change("labels/val/val1.png", lambda label, path: write(path, label.T.copy())),
        (), "val1.png has 12 x 20 pixels, its image has 20 x 12; width and height are swapped",
    ),
    "a JPEG label": (
        lambda copy: write(copy / "labels/val/val1.jpg", make("val", 1)[1])
        and remove("labels/val/val1.png")(copy),
        (), "val1.jpg is a JPEG, whose compression changes the classes",
    ),
    "one pixel beyond": (
        change("labels/val/val1.png", one_pixel(4)),
        (), r"val1.png has the value 4 in 1 pixels, which is neither a class \(0 background, 1 "
        r"field, 2 water\) nor none \(255\); the values are 0, 1, 2, 4, 255; say what they mean",
    ),
    "the numbers from 1": (
        every(lambda label: np.where(label == 255, 255, label + 1).astype(np.uint8)),
        (), "the labels count from 1 to 3: subtract 1, or say so .*: -o values=1,2,3",
    ),
    "0 for none": (
        every(lambda label: np.where(label == 255, 0, label + 1).astype(np.uint8)),
        (), "are there 4 classes with that of 0.*-o ignore=0",
    ),
    "black and white": (
        every(lambda label: np.where(label == 1, 255, 0).astype(np.uint8)),
        (), "have one class only, 'background', and no pixel of 'field', 'water': .*values=0,255",
    ),
    "nothing labelled": (
        every(lambda label: np.full_like(label, 255)),
        (), "no pixel of the 3 labels of train has a class: all are 255",
    ),
    "a photo as label": (
        every(lambda label: np.resize(np.arange(240, dtype=np.uint8), SHAPE)),
        (), "240 different values occur: these are no classes",
    ),
    "fractions": (
        lambda copy: [write(path.with_suffix(".tif"), np.asarray(Image.open(path)) / np.float32(4))
                      and path.unlink() for path in [*(copy / "labels").rglob("*.png")]],
        (), "train0.tif has the value 0.25 in",
    ),
    "colours that nobody explains": (
        every(colours), (), r"has R/G/B channels with 4 colours \(#0a141e, .*-o colours=#000000,",
    ),
    "a colour of no class": (
        every(colours),
        (SAID_COLOURS,), "has the colour #c8c8c8 in .* pixels, which is of no class.*ignore=#...",
    ),
    "palettes that differ": (
        other_palette, (), "train1.png shows the number 0 in #5a0000, labels before it in #000000",
    ),
    "values of two classes": (
        (lambda copy: None), ("values=0,1",),
        "values=0,1 are 2, but there are 3 classes: background, field, water",
    ),
    "values and colours": ((lambda copy: None), ("values=0,1,2", SAID_COLOURS), "both given"),
    "a class that is ignored": (
        (lambda copy: None), ("values=0,1,2", "ignore=2"), "ignore has 2, which is a class"
    ),
    "a colour ignored in numbers": ((lambda copy: None), ("ignore=#000000",), "must be numbers"),
}  # fmt: skip


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_file_and_nothing_is_kept(tmp_path, add, mistake):
    spoil, said, message = MISTAKES[mistake]
    copy = tmp_path / "copy"
    place(copy, "images/{split}/{name}.png", "labels/{split}/{name}.png")
    spoil(copy)
    with pytest.raises(StudyError, match=message):
        add(copy, GIVEN, *said)
    assert not (tmp_path / "data" / "mine").exists()


OPTIONS = {
    "classes=one": "names 1 class; 2 to 255 are possible",
    "classes=a,a": "must be different names",
    "colours=red": "--option colours=red: 'red' is no colour such as #ffd300",
    "values=a": "--option values=a: Input should be a valid integer",
    "ignore=none": "--option ignore=none: 'none' is neither a number nor a colour",
    "val_share=2": "--option val_share=2: Input should be less than 1",
    "clases=a,b": "unknown key 'clases'; did you mean 'classes'",
    "licence=mine": "the classes are not known; .*-o classes=background,field,forest",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_wrong_option_is_told(tmp_path, add, option):
    copy = tmp_path / "copy"
    place(copy, "images/{split}/{name}.png", "labels/{split}/{name}.png")
    with pytest.raises(StudyError, match=OPTIONS[option]):
        add(copy, option)


def test_what_is_missing_is_told_and_stays_on_the_card(tmp_path, add):
    copy = tmp_path / "copy"
    place(copy, "images/{split}/{name}.png", "labels/{split}/{name}.png")
    for split in NUMBERS:
        write(copy / f"labels/{split}/{split}0.png", np.full(SHAPE, 255, np.uint8))
        write(copy / f"images/{split}/same.png", make("train", 7)[0])
        write(
            copy / f"labels/{split}/same.png",
            np.where(make("train", 7)[1] == 2, 255, 0).astype("u1"),
        )
    folder = add(copy, f"{GIVEN},road")
    notes = json.loads((folder / "card.json").read_text())["notes"]
    assert notes[0].startswith("1 (same_leftImg8bit.png) images of val are in train too")
    assert notes[1:] == [
        "train has no pixel of 'road': which can then not be learned",
        "1 of 4 train labels have no pixel of a class",
        "val has no pixel of 'road': mIoU leaves such a class out, or counts it as 0 if a model "
        "predicts it",
        "1 of 3 val labels have no pixel of a class",
    ]


@st.composite
def encodings(draw):
    """Values or colours for some classes and for none, and labels in them."""
    classes = draw(st.integers(2, 6))
    coloured = draw(st.booleans())
    most = draw(st.sampled_from([2**24 - 1] if coloured else [classes + 2, 255, 65535]))
    codes = st.lists(st.integers(0, most), min_size=classes + 1, max_size=classes + 1, unique=True)
    *given, none = draw(codes)
    pixels = st.lists(st.sampled_from([*range(classes), 255]), min_size=24, max_size=24)
    labels = {s: np.array(draw(pixels), np.uint8).reshape(4, 6) for s in ("train", "val")}
    labels["train"][0, :2] = [0, 1]
    labels["val"][0, 0] = 0
    return coloured, given, none, labels


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(encodings())
def test_any_values_or_colours_become_the_numbers_of_their_classes(tmp_path, encoding):
    coloured, codes, none, labels = encoding
    copy, out = tmp_path / "copy", tmp_path / "out"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for split, label in labels.items():
        table = np.zeros(256, np.int64)
        table[[*range(len(codes)), 255]] = [*codes, none]
        coded = table[label]
        if coloured:
            coded = np.stack([coded >> 16, coded >> 8 & 255, coded & 255], -1)
        written = coded.astype(np.uint16 if coded.max() > 255 else np.uint8)
        write(copy / f"images/{split}/a.png", np.zeros((4, 6, 3), np.uint8))
        write(copy / f"labels/{split}/a.png", written)

    def say(key, numbers):
        return {key: ",".join(f"#{n:06x}" if coloured else str(n) for n in numbers)}

    said = say("colours" if coloured else "values", codes) | say("ignore", [none])
    names = [f"class {number}" for number in range(len(codes))]
    options = MaskOptions.model_validate({"classes": ",".join(names), **said})
    # What the card keeps means the same.
    assert MaskOptions.model_validate(options.model_dump(mode="json")) == options
    assert Masks().prepare(copy, out, options, str) == {"items": {"train": 1, "val": 1}}
    counts = check(out).counts["pixels"]
    for split, label in labels.items():
        made = Image.open(out / f"gtFine/{split}/a_gtFine_labelTrainIds.png")
        assert np.array_equal(np.asarray(made), label)
        assert [*counts[split].values()] == np.bincount(label.ravel(), minlength=256)[
            : len(codes)
        ].tolist()
