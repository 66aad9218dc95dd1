"""Faults that annotation files have: each is refused by name, or a perfect detector reaches 1."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import oracle
import pytest

from plugins.contracts.dataset import PrepareError
from plugins.detection.data.boxes import Boxes, BoxesOptions
from plugins.detection.task import Detection


def ignore(doing: str) -> None:
    pass


def first(key, value):
    """Set a key of val's first annotation."""

    def edit(train, val):
        val["annotations"][0][key] = value

    return edit


def of_train(key, value):
    """Set a key of all annotations of train but the last."""

    def edit(train, val):
        for entry in train["annotations"][:-1]:
            entry[key] = value

    return edit


def without(key):
    def edit(train, val):
        for entry in (*train["annotations"], *val["annotations"]):
            del entry[key]

    return edit


def classes(train_names, val_names):
    """List classes as ``{id: name}``, in the order of the mapping."""

    def edit(train, val):
        for content, names in ((train, train_names), (val, val_names)):
            content["categories"] = [{"id": key, "name": name} for key, name in names.items()]

    return edit


def to_strings(what, key):
    def edit(train, val):
        for content in (train, val):
            for entry in content[what]:
                entry["id"] = f"no. {entry['id']}"
            for entry in content["annotations"] if key else ():
                entry[key] = f"no. {entry[key]}"

    return edit


def boxes(change):
    def edit(train, val):
        for content in (train, val):
            for entry in content["annotations"]:
                entry["bbox"] = change(*entry["bbox"])

    return edit


def shifted_ids(train, val):
    val["categories"] = [{"id": 11, "name": "a"}, {"id": 12, "name": "b"}]
    for entry in val["annotations"]:
        entry["category_id"] += 10


def swapped_ids(train, val):
    """As a tool writes it that numbers classes as they come: the boxes are right."""
    val["categories"] = [{"id": 1, "name": "b"}, {"id": 2, "name": "a"}]
    for entry in val["annotations"]:
        entry["category_id"] = 3 - entry["category_id"]


def twin_without_boxes(train, val):
    for content in (train, val):
        content["categories"].append({"id": 3, "name": "a"})


def one_image_with_boxes(train, val):
    train["annotations"] = train["annotations"][:2]


def only_crowds(split):
    def edit(train, val):
        for entry in {"train": train, "val": val}[split]["annotations"]:
            entry["iscrowd"] = 1

    return edit


def image(key, value):
    def edit(train, val):
        val["images"][0][key] = value

    return edit


def a_number_of_pixels(value):
    return rf"images\[0\] \(val1.png\): width is {value}, not a number of pixels"


PLAIN = {1: "a", 2: "b"}
FILL = "val.json: annotation 1 "
FOUR = "not four numbers x, y, width, height"
# name: (edit, what is said of a prepared folder, what the door says); None: it is accepted
FAULTS = {
    "none": (lambda train, val: None, None, None),
    "the list of classes in another order": (classes(PLAIN, {2: "b", 1: "a"}), None, None),
    "classes in descending order": (classes({2: "b", 1: "a"}, {2: "b", 1: "a"}), None, None),
    "other ids in val": (shifted_ids, None, None),
    "classes numbered otherwise": (swapped_ids, "number them otherwise, 'a' and 'b'", None),
    "more classes in val": (
        classes({1: "a", 3: "c"}, {1: "a", 2: "b", 3: "c"}),
        "is of category 2, which is not listed", "is of category 2, which is not listed",
    ),
    "a class of val unknown to train": (
        classes(PLAIN, {1: "a", 2: "c"}), "val lacks 1 .'b'.; train lacks 1 .'c'.",
        "has boxes of 1 .'c'., which .*train.json does not list",
    ),
    "other case": (
        classes(PLAIN, {1: "A", 2: "b"}), "have other categories", "train has 'a': write them alike"
    ),
    "alike but for case": (
        classes({1: "a", 2: "A "}, {1: "a", 2: "A "}), "classes that look alike: 'a' and 'A '",
        "classes that look alike: 'a' and 'A '",
    ),
    "more classes in train": (
        classes({1: "a", 2: "b", 3: "c"}, PLAIN), "val lacks 1 .'c'.", None
    ),
    "a class twice": (
        classes({1: "a", 2: "a"}, {1: "a", 2: "a"}), "has one class twice: 'a' and 'a'",
        "two categories 'a', both with boxes",
    ),
    "a class twice, once without boxes": (twin_without_boxes, "has one class twice", None),
    "one id for two classes": (
        lambda train, val: val["categories"].append({"id": 2, "name": "c"}),
        "categories 'b' and 'c' have one id, 2", "categories 'b' and 'c' have one id, 2",
    ),
    "a class without a name": (
        lambda train, val: val["categories"][1].pop("name"), r"categories\[1\] has no name",
        r"categories\[1\] has no name",
    ),
    "val without classes": (
        lambda train, val: val.pop("categories"),
        "val.json is no file of annotated images.*it has images, annotations", "it has images",
    ),
    "an empty list of classes": (
        lambda train, val: val["categories"].clear(), "val.json has no categories", "no categories"
    ),
    "id 0": (first("id", 0), r"annotations\[0\] has the id 0, which evaluation takes", None),
    "an id twice": (first("id", 2), r"annotations\[1\] has the id 2, as another has", None),
    "ids as text": (to_strings("annotations", None), "id is 'no. 1', not a whole number", None),
    "no ids": (without("id"), "id is None, not a whole number", None),
    "image ids as text": (to_strings("images", "image_id"), None, None),
    "class ids as text": (to_strings("categories", "category_id"), None, None),
    "an image id 0": (
        lambda train, val: (image("id", 0)(train, val), first("image_id", 0)(train, val),
                            val["annotations"][1].update(image_id=0)), None, None,
    ),
    "an image id twice": (image("id", 2), "val1.png and val2.png have the id 2", "have the id 2"),
    "an image twice": (
        image("file_name", "val2.png"), "two images of one id or file_name: val2.png", "two images"
    ),
    "an image of a whole path": (
        image("file_name", "/x/val1.png"), "file_name is /x/val1.png; a name below", "name below"
    ),
    "an image outside": (image("file_name", "../val1.png"), "name below", "name below"),
    "an image that is null": (
        lambda train, val: val["images"].append(None), r"images\[4\] is None, not an object",
        r"images\[4\] is None",
    ),
    "no file_name": (image("file_name", None), "has no file_name", "has no file_name"),
    "width as text": (
        image("width", "64"), a_number_of_pixels("'64'"), a_number_of_pixels("'64'")
    ),
    "another size": (
        image("width", 640), "val1.png has 64 x 48 pixels, its annotation says 640 x 48", None,
    ),
    "width and height swapped": (
        lambda train, val: val["images"][0].update(width=48, height=64),
        "width and height are swapped", None,
    ),
    "an annotation of no image": (
        first("image_id", 9), f"{FILL}is of image 9, which is not listed", "is of image 9"
    ),
    "an image of another type of id": (
        first("image_id", "1"), f"{FILL}is of image '1', which is not listed", "of image '1'"
    ),
    "an annotation without image": (
        lambda train, val: val["annotations"][0].pop("image_id"), f"{FILL}has no image_id",
        f"{FILL}has no image_id",
    ),
    "an annotation that is null": (
        lambda train, val: val["annotations"].insert(3, None),
        r"annotations\[3\] is None, not an object", r"annotations\[3\] is None, not an object",
    ),
    "no area": (without("area"), "annotation 1 has no area", None),
    "area null": (of_train("area", None), "train.json: annotation 1 has no area", None),
    "area 0": (of_train("area", 0), "annotation 1: area is 0; square pixels are meant", None),
    "area as text": (first("area", "12"), "area is '12'", None),
    "no iscrowd": (without("iscrowd"), "annotation 1 has no iscrowd; 0 is meant", None),
    "iscrowd 2": (first("iscrowd", 2), "iscrowd is 2", "iscrowd is 2"),
    "ignore": (first("ignore", 1), f"{FILL}has ignore, which training obeys", None),
    "a crowd": (first("iscrowd", 1), None, None),
    "only crowds in val": (only_crowds("val"), "val.json has no box to find", "no box to find"),
    "only crowds in train": (
        only_crowds("train"), "train.json has no box to learn from", "no box to learn from"
    ),
    "no box": (
        lambda train, val: val["annotations"].clear(), "val.json has no annotations",
        "val.json has no annotations",
    ),
    "no images": (
        lambda train, val: (val["images"].clear(), val["annotations"].clear()),
        "has no images and no annotations", "has no images and no annotations",
    ),
    "images without boxes": (one_image_with_boxes, None, None),
    "a width below 0": (
        first("bbox", [30, 5, -8, 8]), "of a width or height below 0", "width or height below 0"
    ),
    "NaN": (first("bbox", [math.nan, 5, 8, 8]), "not four finite numbers", "not four finite"),
    "infinite": (first("bbox", [1, 5, math.inf, 8]), "not four finite numbers", "not four finite"),
    "three numbers": (first("bbox", [4, 5, 8]), FOUR, FOUR),
    "numbers as text": (first("bbox", ["4", 5, 8, 8]), FOUR, FOUR),
    "text": (first("bbox", "abcd"), FOUR, FOUR),
    "null in a box": (first("bbox", [10, None, 5, 5]), FOUR, FOUR),
    "bbox null": (first("bbox", None), "bbox is missing", "bbox is missing"),
    "no boxes at all": (without("bbox"), "bbox is missing", "bbox is missing"),
    "shares of the image": (
        boxes(lambda x, y, w, h: [x / 64, y / 48, w / 64, h / 48]), "as shares of the image",
        "as shares of the image",
    ),
    "corners": (
        boxes(lambda x, y, w, h: [x + 20, y, x + w + 20, y + h]), "they|the boxes look like x, y",
        "the boxes look like x, y, x, y",
    ),
    "outside the image": (
        first("bbox", [50, 5, 40, 8]), "which leaves its image of 64 x 48 pixels",
        "leaves its image",
    ),
    "outside by rounding": (first("bbox", [-0.6, 5, 20, 43.5]), None, None),
    "beside the image": (first("bbox", [64, 5, 1, 8]), "below a pixel. Training leaves", None),
    "below a pixel in val": (
        first("bbox", [10, 5, 0.4, 9]), "below a pixel. Training leaves such boxes out", None
    ),
    "below a pixel in train": (of_train("bbox", [10, 5, 0.4, 9]), None, None),
}  # fmt: skip
# The door looks for images, but whether they decode is seen by the check after it.
SEEN_AFTER_THE_DOOR = {"another size", "width and height swapped"}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images") / "images"
    oracle.write_images(folder)
    return folder


def made(folder: Path, images: Path, edit) -> Path:
    """Write a set whose files have a fault."""
    contents = {split: oracle.content(split) for split in ("train", "val")}
    edit(contents["train"], contents["val"])
    (folder / "annotations").mkdir(parents=True)
    for split, content in contents.items():
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))
    (folder / "images").symlink_to(images)
    return folder


def judged(folder: Path) -> None:
    """Assert that a set which is accepted is learned and measured as it says."""
    counts = Detection().check_data(folder, True, ignore).counts
    assert oracle.trained(folder) == (counts["trained"]["train"], counts["trained_boxes"])
    assert oracle.perfect(folder) == oracle.PERFECT


@pytest.mark.parametrize("fault", FAULTS)
def test_a_prepared_folder_is_refused_or_measured_right(images, tmp_path, fault):
    edit, message, _ = FAULTS[fault]
    folder = made(tmp_path / "set", images, edit)
    if message is None:
        judged(folder)
        return
    with pytest.raises(PrepareError, match=message) as refused:
        Detection().check_data(folder, True, ignore)
    assert re.match(rf"{folder}/|{images}/", str(refused.value))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_door_refuses_or_makes_what_is_measured_right(images, tmp_path, fault):
    edit, of_folder, message = FAULTS[fault]
    folder, out = made(tmp_path / "mine", images, edit), tmp_path / "out"
    out.mkdir()
    if message is None:
        counts = Boxes().prepare(folder, out, BoxesOptions(), ignore)
        if fault in SEEN_AFTER_THE_DOOR:
            with pytest.raises(PrepareError, match=of_folder):
                Detection().check_data(out, True, ignore)
            return
        judged(out)
        assert bool(counts["notes"]) == (of_folder is not None or "below a pixel" in fault)
        return
    with pytest.raises(PrepareError, match=message) as refused:
        Boxes().prepare(folder, out, BoxesOptions(), ignore)
    assert str(refused.value).startswith(f"{folder}/")


def test_a_mark_before_the_text_is_refused_where_training_cannot_read_it(images, tmp_path):
    folder = made(tmp_path / "set", images, lambda train, val: None)
    file = folder / "annotations" / "val.json"
    file.write_text(file.read_text(), encoding="utf-8-sig")
    with pytest.raises(PrepareError, match=r"val.json is no JSON \(Unexpected UTF-8 BOM"):
        Detection().check_data(folder, True, ignore)
    (tmp_path / "out").mkdir()
    Boxes().prepare(folder, tmp_path / "out", BoxesOptions(), ignore)
    judged(tmp_path / "out")
