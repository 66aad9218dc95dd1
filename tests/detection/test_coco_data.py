"""A copy of COCO 2017 is checked, linked to, and read by the detector. The copies are tiny."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import oracle
import pytest
from PIL import Image

from plugins.attention.core.word import Word
from plugins.contracts.dataset import PrepareError
from plugins.contracts.job import Job
from plugins.detection.data import coco2017
from plugins.detection.data.coco import image_folder
from plugins.detection.recipe import Recipe
from plugins.detection.task import Detection
from study import data
from study.data import contents
from study.errors import StudyError

IMAGES = {"train2017": 8, "val2017": 4}
CATEGORIES = {1: "person", 3: "car", 90: "toothbrush"}
WIDTH, HEIGHT = 96, 64


def ignore(doing: str) -> None:
    pass


@pytest.fixture
def copy(tmp_path) -> Path:
    """Files as the archives of COCO unpack: a black box on grey, and a crowd, in each image."""
    folder = tmp_path / "datasets" / "coco"
    (folder / "annotations").mkdir(parents=True)
    chance = random.Random(0)
    number = 0
    for split, count in IMAGES.items():
        (folder / split).mkdir()
        images, annotations = [], []
        for _ in range(count):
            number += 1
            x, y, width, height = (chance.randrange(12, 30) for _ in range(4))
            image = Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128))
            image.paste((0, 0, 0), (x, y, x + width, y + height))
            name = f"{number:012}.jpg"
            image.save(folder / split / name)
            images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
            for crowd in (0, 1):
                annotations.append(
                    {"id": 10 * number + crowd, "image_id": number, "iscrowd": crowd,
                     "category_id": chance.choice(list(CATEGORIES)), "area": width * height,
                     "bbox": [x, y, width, height]}
                )  # fmt: skip
        categories = [{"id": key, "name": name} for key, name in CATEGORIES.items()]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return folder


def change(copy: Path, edit: Callable[[dict], object]) -> None:
    """Let `edit` change the content of val's annotation file."""
    file = copy / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def prepared(copy: Path, out: Path, subset: bool = True) -> dict:
    out.mkdir()
    return coco2017.prepare(copy, out, ignore, subset)


def test_the_folder_holds_links_only_and_the_counts(copy, tmp_path):
    out = tmp_path / "out"
    before = contents.fingerprint(copy, {})
    assert prepared(copy, out) == {
        "items": {"train": 8, "val": 4},
        "boxes": {"train": 8, "val": 4},
        "crowd": {"train": 8, "val": 4},
        "official": False,
    }
    assert {
        entry.relative_to(out).as_posix(): entry.resolve().relative_to(copy).as_posix()
        for entry in out.rglob("*")
        if entry.is_symlink()
    } == {
        "annotations/train.json": "annotations/instances_train2017.json",
        "annotations/val.json": "annotations/instances_val2017.json",
        "images/train2017": "train2017",
        "images/val2017": "val2017",
    }
    assert [image_folder(out, split) for split in ("train", "val")] == [
        "images/train2017/",
        "images/val2017/",
    ]
    assert contents.fingerprint(copy, {}) == before


def test_without_a_meta_file_images_lie_together(tmp_path):
    assert image_folder(tmp_path, "train") == "images/"


def test_images_may_lie_in_a_folder_of_their_own(copy, tmp_path):
    (copy / "images").mkdir()
    for split in IMAGES:
        (copy / split).rename(copy / "images" / split)
    prepared(copy, tmp_path / "out")
    assert (tmp_path / "out/images/val2017").resolve() == copy / "images/val2017"


def wrong_year(copy: Path) -> None:
    for entry in (*copy.iterdir(), *(copy / "annotations").iterdir()):
        entry.rename(entry.with_name(entry.name.replace("2017", "2014")))


def only_test(copy: Path) -> None:
    for entry in (*copy.iterdir(), *(copy / "annotations").iterdir()):
        if "train2017" in entry.name:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        entry.exists() and entry.rename(entry.with_name(entry.name.replace("val", "test")))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


def last_image(copy: Path) -> Path:
    return max((copy / "val2017").iterdir())


MISTAKES = {
    "wrong year": (wrong_year, "instances_train2017.json is missing: this is COCO 2014"),
    "only test": (only_test, "this is the test split, whose annotations are not public"),
    "no images": (
        lambda copy: shutil.rmtree(copy / "val2017"),
        r"neither .*val2017 nor .*images/val2017; COCO 2017 is at https",
    ),
    "a test split's file": (
        lambda copy: change(copy, lambda content: content.pop("annotations")),
        "instances_val2017.json is no file of annotated images.*test splits have no annotations",
    ),
    "no annotations": (
        lambda copy: change(copy, lambda content: content["annotations"].clear()),
        "instances_val2017.json has no annotations; those of test splits are not public",
    ),
    "cut JSON": (
        lambda copy: cut(copy / "annotations" / "instances_train2017.json"),
        "instances_train2017.json is no JSON .*take it from the archive again",
    ),
    "an entry without a key": (
        lambda copy: change(copy, lambda content: content["images"][0].pop("width")),
        r"instances_val2017.json: images\[0\] \(000000000009.jpg\): width is None, not a number",
    ),
    "an annotation of no image": (
        lambda copy: change(copy, lambda content: content["images"].pop()),
        r"annotation 120 is of image 12, which is not listed",
    ),
    "an annotation of no category": (
        lambda copy: change(copy, lambda content: content["annotations"][0].update(category_id=2)),
        "annotation 90 is of category 2, which is not listed",
    ),
    "a missing image": (
        lambda copy: last_image(copy).unlink(),
        "val2017/000000000012.jpg does not exist",
    ),
    "a cut image": (
        lambda copy: cut(last_image(copy)),
        r"000000000012.jpg cannot be read as an image \(.*truncated",
    ),
    "an empty image": (
        lambda copy: last_image(copy).write_bytes(b""), "000000000012.jpg is an empty file"
    ),
    "another image": (
        lambda copy: Image.new("RGB", (WIDTH, WIDTH)).save(last_image(copy)),
        "has 96 x 96 pixels, its annotation says 96 x 64",
    ),
    "other categories": (
        lambda copy: change(copy, lambda content: content["categories"][1].update(name="lorry")),
        "have other categories",
    ),
    "train as val": (
        lambda copy: (
            shutil.copytree(copy / "train2017", copy / "val2017", dirs_exist_ok=True),
            shutil.copy(
                copy / "annotations/instances_train2017.json",
                copy / "annotations/instances_val2017.json",
            ),
        ),
        r"images that are in both .*: 8 \(000000000001.jpg",
    ),
    "no folder": (shutil.rmtree, "datasets/coco does not exist; COCO 2017 is at https"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_told(copy, tmp_path, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(copy)
    with pytest.raises(StudyError, match=message):
        data.prepare_from("coco", copy, tmp_path / "prepared", subset=True)
    assert not (tmp_path / "prepared" / "coco").exists()


def test_a_perfect_detector_reaches_1_on_it(copy, tmp_path):
    data.prepare_from("coco", copy, tmp_path / "prepared", subset=True)
    assert oracle.trained(tmp_path / "prepared/coco") == (8, 8)
    assert oracle.perfect(tmp_path / "prepared/coco") == oracle.PERFECT


def test_a_part_is_refused_unless_it_is_meant(copy, tmp_path):
    with pytest.raises(
        PrepareError, match=r"8 train2017 images, not 118287; .*3 categories, not 80.*--subset"
    ):
        prepared(copy, tmp_path / "out", subset=False)


def test_the_counts_of_the_published_set_are_official(copy, tmp_path, monkeypatch):
    tiny = {"categories": 3} | {
        f"{name} {what}": count * (1 + (what == "annotations"))
        for name, count in IMAGES.items()
        for what in ("images", "annotations")
    }
    assert tiny.keys() == coco2017.OFFICIAL.keys()
    monkeypatch.setattr(coco2017, "OFFICIAL", tiny)
    assert prepared(copy, tmp_path / "out", subset=False)["official"]


def test_the_detector_trains_on_it(copy, tmp_path, monkeypatch):
    from mmdet.registry import DATASETS
    from mmdet.utils import register_all_modules

    from plugins.detection.config import runner_config
    from plugins.detection.train import train

    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "prepared"))
    with pytest.raises(StudyError, match=r"study data prepare coco --from"):
        data.prepare(["coco"])
    data.prepare_from("coco", copy, subset=True)
    records = []
    (tmp_path / "run").mkdir()
    job = Job(
        mechanism=Word.parse("0010"),
        sites=Detection.default_sites,
        seed=0,
        recipe=Recipe(
            data="coco",
            base_channels=8,
            image_scale=(WIDTH, HEIGHT),
            fpn_channels=16,
            head_channels=32,
            anchor_scale=4,
            proposals=20,
            rois=8,
            epochs=1,
            batch_size=4,
            flip=0,
        ),
        data=data.path("coco"),
        folder=tmp_path / "run",
        device="cpu",
        record=lambda split, **values: records.append({"split": split} | values),
        recorded=lambda split: [],
    )
    register_all_modules(init_default_scope=True)
    loaded = DATASETS.build(runner_config(job)["train_dataloader"]["dataset"])
    assert len(loaded) == 8
    assert loaded.metainfo["classes"] == tuple(CATEGORIES.values())
    annotations = json.loads((copy / "annotations/instances_train2017.json").read_text())
    for number in range(len(loaded)):
        item = loaded[number]
        image, truth = item["inputs"], item["data_samples"].gt_instances
        (box,) = truth.bboxes.tensor.tolist()  # a crowd is not among them
        mine = next(a for a in annotations["annotations"] if a["id"] == 10 * (number + 1))
        x, y, width, height = mine["bbox"]
        assert box == [x, y, x + width, y + height]
        assert CATEGORIES[mine["category_id"]] == loaded.metainfo["classes"][int(truth.labels[0])]
        # The ink lies where the box says: the image is the one that the annotation is of.
        assert image[:, y + 1 : y + height - 1, x + 1 : x + width - 1].max() < 40
        assert image[:, y + height // 2, x + width + 3].min() > 90
    train(job)
    splits = [record["split"] for record in records]
    assert splits.count("val") == 1
    assert "mAP" in records[splits.index("val")]
