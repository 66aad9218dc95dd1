"""AP is of the images that were shown, with all digits, and missing where there is no box."""

from __future__ import annotations

import json

import oracle
import pytest

from plugins.detection.data.boxes import Boxes, BoxesOptions
from study import data

SIZES = {"coco/bbox_mAP_s", "coco/bbox_mAP_m", "coco/bbox_mAP_l"}


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    oracle.write_images(folder / "images")
    (folder / "annotations").mkdir()
    for split in ("train", "val"):
        text = json.dumps(oracle.content(split))
        (folder / "annotations" / f"{split}.json").write_text(text)
    return folder


def edited(boxes, folder, edit):
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").symlink_to(boxes / "images")
    for split in ("train", "val"):
        content = oracle.content(split)
        edit(content)
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("number", [1, 2, 3, 4, 100])
def test_images_that_were_not_shown_do_not_count(boxes, number):
    assert oracle.perfect(boxes, evaluation_images=number) == oracle.PERFECT


def test_a_part_of_the_boxes_is_missed_and_the_digits_are_kept(boxes):
    """Half of the boxes, in the order of the file: of one class all, of the other none."""
    found = oracle.metrics(boxes, lambda truth: truth.bboxes.tensor[:1])
    assert found["coco/bbox_mAP"] == pytest.approx(0.5, abs=1e-12)
    one = oracle.metrics(
        boxes, lambda truth: truth.bboxes.tensor[: int(truth.bboxes.tensor[0, 0]) % 3]
    )
    assert one["coco/bbox_mAP"] != round(one["coco/bbox_mAP"], 3)


def test_sizes_of_which_there_is_no_box_are_missing(boxes):
    found = oracle.metrics(boxes, lambda truth: truth.bboxes.tensor)
    assert found.keys() & SIZES == {"coco/bbox_mAP_s"}
    assert min(found.values()) >= 0


def test_nothing_predicted_is_an_ap_of_0(boxes):
    found = oracle.metrics(boxes, lambda truth: truth.bboxes.tensor[:0])
    assert found == {f"coco/bbox_{name}": 0.0 for name in oracle.PERFECT}


def test_nothing_to_find_is_no_number(boxes, tmp_path):
    def first_has_none(content):
        content["annotations"] = content["annotations"][2:]

    folder = edited(boxes, tmp_path / "set", first_has_none)
    with pytest.raises(ValueError, match=r"none of the 1 images .* has a box.*evaluation_images"):
        oracle.perfect(folder, evaluation_images=1)
    assert oracle.perfect(folder, evaluation_images=2) == oracle.PERFECT


@pytest.mark.data
@pytest.mark.parametrize("name", ["trees", "digits"])
def test_a_perfect_detector_reaches_1_on_the_embedded_sets(name):
    data.prepare([name])
    counts = data.card(name)["counts"]
    assert oracle.perfect(data.path(name), evaluation_images=40) == oracle.PERFECT
    assert oracle.trained(data.path(name)) == (counts["items"]["train"], counts["boxes"]["train"])


LAYOUTS = {
    "annotations/train.json": ("annotations/{}.json", "images", ("train", "val")),
    "instances_train2017.json": ("annotations/instances_{}2017.json", "{}2017", ("train", "val")),
    "train.json": ("{}.json", "{}", ("train", "val")),
    "images/train": ("{}.json", "images/{}", ("train", "val")),
    "Roboflow": ("{}/_annotations.coco.json", "{}", ("train", "valid")),
    "beside the file": ("{}/{}.json", "{}/images", ("train", "val")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_usual_layouts_are_found(boxes, tmp_path, layout):
    file, place, words = LAYOUTS[layout]
    folder, out = tmp_path / "mine", tmp_path / "out"
    out.mkdir()
    for split, word in zip(("train", "val"), words, strict=True):
        images = folder / place.format(word)
        images.mkdir(parents=True, exist_ok=True)
        for number in range(1, 5):
            name = f"{split}{number}.png"
            (images / name).write_bytes((boxes / "images" / name).read_bytes())
        path = folder / file.format(word, word)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((boxes / "annotations" / f"{split}.json").read_text())
    made = Boxes().prepare(folder, out, BoxesOptions(), lambda doing: None)
    assert made["items"] == {"train": 4, "val": 4}
    assert not made["notes"]
    assert oracle.perfect(out) == oracle.PERFECT


def test_one_file_is_divided_the_same_each_time(boxes, tmp_path):
    parts = []
    for name in ("one", "two"):
        out = tmp_path / name
        out.mkdir()
        options = BoxesOptions(train="annotations/train.json", val_share="0.25")
        made = Boxes().prepare(boxes, out, options, lambda doing: None)
        assert made["items"] == {"train": 3, "val": 1}
        assert oracle.perfect(out) == oracle.PERFECT
        assert oracle.trained(out) == (3, 6)
        content = json.loads((out / "annotations/val.json").read_text())
        parts.append([image["file_name"] for image in content["images"]])
    assert parts[0] == parts[1]
