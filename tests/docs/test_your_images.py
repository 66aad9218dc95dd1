"""docs/your-images.md, followed to the letter with tiles of the embedded set as the photos."""

from __future__ import annotations

import json
import shutil

import pytest
from page import Page, shell

from plugins.classification.data.images import ImageOptions
from plugins.classification.data.layout import ENDS
from study import data

PAGE = Page("your-images.md")
CLASSES = ("barren", "cropland", "evergreen_broadleaf_forest", "grassland")
NUMBERS = {"train": 8, "val": 4}
"""Images of a class."""


def test_the_page_names_every_option():
    (table,) = [part for part in PAGE.text.split("\n\n") if part.startswith("| key |")]
    named = {
        key.strip(" `") for row in table.splitlines()[2:] for key in row.split("|")[1].split(",")
    }
    assert named == ImageOptions.model_fields.keys()


def test_the_page_names_every_ending():
    assert all(f"`{end}`" in PAGE.text for end in ENDS)


@pytest.mark.data
@pytest.mark.train
def test_the_images_of_the_page_train(reader, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.delenv("STUDY_DATA")
        data.prepare(["landcover-tiles"])
        embedded = data.path("landcover-tiles")
    assert PAGE.write(reader) == ["images.yaml"]
    for split, number in NUMBERS.items():
        for name in CLASSES:
            target = reader / "photos" / split / name
            target.mkdir(parents=True)
            for image in sorted((embedded / split / name).iterdir())[:number]:
                shutil.copy(image, target)
    (commands,) = PAGE.commands()
    done = shell(commands)
    assert "own set my-images: images with a class each (own data), 32/16 images" in done.stdout
    runs = sorted((reader / "results" / "runs").glob("*/result.json"))
    assert [path.parent.name.rpartition("-s0-")[0] for path in runs] == [
        "classification-my-images-0010-conv4.conv5",
        "classification-my-images-none",
    ]
    for path in runs:
        assert 0 <= json.loads(path.read_text())["metrics"]["accuracy"] <= 1
    card = json.loads((reader.parent / "data" / "my-images" / "card.json").read_text())
    assert card["counts"]["items"] == {"train": 32, "val": 16}
    assert card["counts"]["images"]["val"] == dict.fromkeys(CLASSES, 4)
