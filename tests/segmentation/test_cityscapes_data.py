"""A copy of Cityscapes is checked, its labels are renumbered, and the segmentor reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import CityscapesDataset
from perfect_masks import is_perfect
from PIL import Image

from plugins.attention.core.word import Word
from plugins.contracts.dataset import PrepareError
from plugins.contracts.job import Job
from plugins.segmentation.data import cityscapes
from plugins.segmentation.recipe import Recipe
from plugins.segmentation.task import Segmentation
from study import data
from study.data import contents

CITIES = {"train": {"aachen": 3, "bochum": 1}, "val": {"lindau": 2}}
WIDTH, HEIGHT = 80, 48
# All names in the order of their numbers, as the benchmark lists them.
NAMES = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground",
    "road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail",
    "bridge", "tunnel", "pole", "polegroup", "traffic light", "traffic sign", "vegetation",
    "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan", "trailer", "train",
    "motorcycle", "bicycle",
)  # fmt: skip


@pytest.fixture
def copy(tmp_path) -> Path:
    """Files as the two archives unpack; the grey of a pixel is its number, doubled."""
    folder = tmp_path / "datasets" / "cityscapes"
    chance = np.random.default_rng(0)
    for split, cities in CITIES.items():
        for city, count in cities.items():
            images, labels = folder / "leftImg8bit" / split / city, folder / "gtFine" / split / city
            images.mkdir(parents=True)
            labels.mkdir(parents=True)
            for number in range(count):
                stem = f"{city}_{number:06}_000019"
                label = chance.integers(0, len(NAMES), (HEIGHT // 8, WIDTH // 8), dtype=np.uint8)
                label = label.repeat(8, 0).repeat(8, 1)
                label[:2, :17] = np.arange(34, dtype=np.uint8).reshape(2, 17)  # each number once
                Image.fromarray(label).save(labels / f"{stem}_gtFine_labelIds.png")
                Image.fromarray(label).save(labels / f"{stem}_gtFine_instanceIds.png")
                (labels / f"{stem}_gtFine_polygons.json").write_text("{}")
                image = np.stack([label * 2] * 3, axis=-1)
                Image.fromarray(image).save(images / f"{stem}_leftImg8bit.png")
    return folder


def prepared(copy: Path, out: Path, subset: bool = True) -> dict:
    out.mkdir()
    counts = cityscapes.prepare(copy, out, lambda doing: None, subset)
    return counts | Segmentation().check_data(out, not counts["official"], str).counts


def one(copy: Path, part: str, split: str = "val", end: str = "") -> Path:
    """The last file of a split."""
    return max((copy / part / split).rglob(f"*{end}.png"))


def test_classes_are_those_of_mmsegmentation():
    known = CityscapesDataset.METAINFO
    assert [c.name for c in cityscapes.CLASSES] == list(known["classes"])
    assert [list(c.colour) for c in cityscapes.CLASSES] == known["palette"]
    assert [NAMES[c.number] for c in cityscapes.CLASSES] == list(known["classes"])


def test_labels_are_renumbered_images_linked_and_the_copy_stays(copy, tmp_path):
    out, before = tmp_path / "out", contents.fingerprint(copy, {})
    counts = prepared(copy, out)
    assert (counts["items"], counts["cities"]) == ({"train": 4, "val": 2}, {"train": 2, "val": 1})
    assert not counts["official"]
    classes = CityscapesDataset.METAINFO["classes"]
    made = sorted((out / "gtFine").rglob("*.png"))
    assert len(made) == 6
    for path in made:
        source = copy / path.relative_to(out)
        numbers = np.asarray(Image.open(str(source).replace("labelTrainIds", "labelIds")))
        trained = np.asarray(Image.open(path))
        for number, name in enumerate(NAMES):
            expected = classes.index(name) if name in classes else 255
            assert set(trained[numbers == number]) == {expected}, name
    for split in CITIES:
        assert (out / "leftImg8bit" / split).resolve() == copy / "leftImg8bit" / split
        pixels = sum(counts["pixels"][split].values()) + counts["pixels_without_class"][split]
        assert pixels == counts["items"][split] * WIDTH * HEIGHT
    assert contents.fingerprint(copy, {}) == before


def test_shares_count_labelled_pixels(copy, tmp_path):
    for path in (copy / "gtFine/val").rglob("*labelIds.png"):
        label = np.full((HEIGHT, WIDTH), 7, np.uint8)  # road
        label[: HEIGHT // 2] = 0  # unlabelled
        label[-12:] = 8  # sidewalk: half of what is labelled
        Image.fromarray(label).save(path)
    pixels = prepared(copy, tmp_path / "out")["pixels"]["val"]
    assert (pixels["road"], pixels["sidewalk"], sum(pixels.values())) == (1920, 1920, 3840)


def test_perfect_predictions_of_its_labels_have_an_iou_of_one(copy, tmp_path):
    prepared(copy, tmp_path / "out")
    classes = list(CityscapesDataset.METAINFO["classes"])
    number_of = [classes.index(name) if name in classes else 255 for name in NAMES]
    truth = {
        split: {
            path.name.removesuffix("_gtFine_labelIds.png"): np.array(number_of, np.uint8)[
                np.asarray(Image.open(path))
            ]
            for path in (copy / "gtFine" / split).rglob("*_labelIds.png")
        }
        for split in CITIES
    }
    is_perfect(tmp_path / "out", truth)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-80])


def fill(copy: Path, value: int, mode: str = "L") -> None:
    for path in (copy / "gtFine/val").rglob("*labelIds.png"):
        Image.new(mode, (WIDTH, HEIGHT), value if mode == "L" else (value,) * 3).save(path)


def keep_test_only(copy: Path) -> None:
    for part in ("leftImg8bit", "gtFine"):
        (copy / part / "train").rename(copy / part / "test")
        shutil.rmtree(copy / part / "val")


MISTAKES = {
    "no images": (
        lambda copy: shutil.rmtree(copy / "leftImg8bit"),
        r"leftImg8bit is missing; Cityscapes is at https.*unpack leftImg8bit_trainvaltest.zip",
    ),
    "no labels": (lambda copy: shutil.rmtree(copy / "gtFine"), "gtFine is missing; Cityscapes"),
    "coarse labels": (
        lambda copy: (copy / "gtFine").rename(copy / "gtCoarse"),
        "gtFine is missing: gtCoarse is another set",
    ),
    "only test": (keep_test_only, "only the test split, without annotations"),
    "no val": (
        lambda copy: shutil.rmtree(copy / "leftImg8bit/val"),
        r"leftImg8bit/val has no <city>/\*_leftImg8bit.png; Cityscapes",
    ),
    "an image without label": (
        lambda copy: one(copy, "gtFine", end="labelIds").unlink(),
        r"val images without gtFine_labelIds.png: 1 \(lindau/lindau_000001_000019\)",
    ),
    "a label without image": (
        lambda copy: one(copy, "leftImg8bit").unlink(),
        r"val labels without leftImg8bit.png: 1 \(lindau/lindau_000001_000019\)",
    ),
    "a cut image": (
        lambda copy: cut(one(copy, "leftImg8bit")), "leftImg8bit.png cannot be read as an image"
    ),
    "a cut label": (
        lambda copy: cut(one(copy, "gtFine", "train", "labelIds")),
        "labelIds.png cannot be read as an image",
    ),
    "a label of another size": (
        lambda copy: Image.new("L", (8, 8)).save(one(copy, "gtFine", end="labelIds")),
        "has 8 x 8 pixels, its image has 80 x 48",
    ),
    "training numbers": (lambda copy: fill(copy, 255), "no label with one number from 0 to 33"),
    "colours": (lambda copy: fill(copy, 7, "RGB"), "no label with one number from 0 to 33"),
    "empty labels": (
        lambda copy: fill(copy, 0), "no pixel of the 2 labels of val has a class: all are 255"
    ),
    "no folder": (shutil.rmtree, "datasets/cityscapes does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_told(copy, tmp_path, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(copy)
    with pytest.raises(PrepareError, match=message):
        prepared(copy, tmp_path / "out")


def test_a_part_is_refused_unless_it_is_meant(copy, tmp_path, monkeypatch):
    with pytest.raises(
        PrepareError, match=r"4 train images, not 2975; 2 val images, not 500.*--subset"
    ):
        prepared(copy, tmp_path / "out", subset=False)
    monkeypatch.setattr(cityscapes, "OFFICIAL", {"train images": 4, "val images": 2})
    assert prepared(copy, tmp_path / "whole", subset=False)["official"]


def test_the_segmentor_trains_on_it(copy, tmp_path, monkeypatch):
    from mmseg.registry import DATASETS
    from mmseg.utils import register_all_modules

    from plugins.segmentation.config import runner_config
    from plugins.segmentation.train import train

    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "prepared"))
    data.prepare_from("cityscapes", copy, subset=True)
    records = []
    (tmp_path / "run").mkdir()
    job = Job(
        mechanism=Word.parse("0010"),
        sites=Segmentation.default_sites,
        seed=0,
        recipe=Recipe(
            data="cityscapes",
            base_channels=8,
            head_channels=16,
            crop=(HEIGHT, WIDTH),
            epochs=1,
            batch_size=2,
        ),
        data=data.path("cityscapes"),
        folder=tmp_path / "run",
        device="cpu",
        record=lambda split, **values: records.append({"split": split} | values),
        recorded=lambda split: [],
    )
    register_all_modules(init_default_scope=True)
    config = runner_config(job)["val_dataloader"]["dataset"]
    loaded = DATASETS.build(config)
    assert len(loaded) == 2
    assert loaded.metainfo["classes"] == list(CityscapesDataset.METAINFO["classes"])
    for item in loaded:
        numbers = item["inputs"][0].numpy() // 2
        trained = item["data_samples"].gt_sem_seg.data[0].numpy()
        for c, known in enumerate(cityscapes.CLASSES):
            assert ((trained == c) == (numbers == known.number)).all()
    train(job)
    splits = [record["split"] for record in records]
    assert splits.count("val") == 1
    assert 0 <= records[splits.index("val")]["mIoU"] <= 1
    assert json.loads((job.data / "card.json").read_text())["not_comparable_with"]
