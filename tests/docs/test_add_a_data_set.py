"""docs/add-a-data-set.md, followed to the letter with parts of the embedded sets as the copies."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from page import Page, shell
from PIL import Image

from study import data

PAGE = Page("add-a-data-set.md")
BOXES, MASKS = {"train": 8, "val": 4}, {"train": 16, "val": 4}
SENTENCES = {"train": 500, "valid": 40, "test": 40}
# Numbers of the embedded set's classes -> of the page's: background, field, forest, water
CLASS_OF = {"water": 3, "forest": 2, "cropland": 1}


@pytest.fixture(scope="module")
def embedded():
    """The embedded sets, prepared before a test says that they lie elsewhere."""
    data.prepare(["trees", "landcover", "software-en-de"])
    return {name: data.path(name) for name in ("trees", "landcover", "software-en-de")}


def copy_boxes(source, folder):
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    for split, number in BOXES.items():
        content = json.loads((source / "annotations" / f"{split}.json").read_text())
        content["images"] = content["images"][:number]
        kept = {image["id"] for image in content["images"]}
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))
        for image in content["images"]:
            place = folder / "images" / image["file_name"]
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / "images" / image["file_name"], place)


def copy_masks(source, folder):
    classes = json.loads((source / "meta.json").read_text())["classes"]
    table = np.full(256, 255, np.uint8)
    table[: len(classes)] = [CLASS_OF.get(name, 0) for name in classes]
    for split, number in MASKS.items():
        images = sorted((source / "leftImg8bit" / split).rglob("*_leftImg8bit.png"))
        for index in range(number):
            image = images[index * len(images) // number]
            name = image.name.removesuffix("_leftImg8bit.png")
            (label,) = (source / "gtFine" / split).rglob(f"{name}_gtFine_labelTrainIds.png")
            for kind in ("images", "labels"):
                (folder / kind / split).mkdir(parents=True, exist_ok=True)
            shutil.copy(image, folder / "images" / split / f"{name}.png")
            mapped = Image.fromarray(table[np.asarray(Image.open(label))])
            mapped.save(folder / "labels" / split / f"{name}.png")


def copy_sentences(source, folder):
    folder.mkdir()
    for split, number in SENTENCES.items():
        for language in ("en", "de"):
            lines = (source / f"{split}.{language}").read_text(encoding="utf-8").split("\n")
            text = "".join(f"{line}\n" for line in lines[:number])
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")


@pytest.mark.data
@pytest.mark.train
def test_the_data_sets_of_the_page_train_in_the_existing_tasks(embedded, reader):
    modules = {f"my_data/{name}.py" for name in ("boxes", "masks", "sentences")}
    grids = {f"{name}.yaml" for name in ("boxes", "masks", "sentences")}
    assert set(PAGE.write(reader)) == {"pyproject.toml", *modules, *grids}
    copy_boxes(embedded["trees"], reader / "boxes")
    copy_masks(embedded["landcover"], reader / "masks")
    copy_sentences(embedded["software-en-de"], reader / "sentences")
    (commands,) = PAGE.commands()
    tables = shell(commands).stdout
    for line in (
        "Our boxes of 2026 (in-house), 8/4 images; published splits",
        "Our masks of 2026 (in-house), 16/4 images; published splits",
        "Our sentences of 2026 (in-house), 500/40/40 pairs; published splits",
    ):
        assert line in tables
    found = {path.parent.name for path in (reader / "results" / "runs").glob("*/result.json")}
    assert sorted(name.rpartition("-s0-")[0] for name in found) == [
        "detection-my-boxes-0010-conv4.conv5",
        "detection-my-boxes-none",
        "segmentation-my-masks-0010-conv4.conv5.head",
        "segmentation-my-masks-none",
        "translation-my-sentences-0010-self",
        "translation-my-sentences-1111-self",
    ]
    _what_is_incomplete_is_refused(reader)


def _what_is_incomplete_is_refused(folder):
    picture = next((folder / "boxes" / "images").rglob("*.png"))
    picture.unlink()
    (folder / "sentences" / "valid.de").write_text("ein Satz\n")
    label = next((folder / "masks" / "labels" / "val").iterdir())
    label.unlink()
    for name, sentence in (
        ("boxes", f"{picture} does not exist"),
        ("masks", f"has no label {label}"),
        ("sentences", "the sides of valid have [40, 1] lines"),
    ):
        again = f"study data prepare my-{name} --from {name} --root other 2>&1 || echo code $?"
        said = shell(again).stdout
        assert sentence in said
        assert said.endswith("code 2\n")
        assert not (folder / "other" / f"my-{name}").exists()
