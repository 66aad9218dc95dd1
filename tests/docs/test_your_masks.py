"""docs/your-masks.md, followed to the letter with tiles of the embedded set as the photos."""

from __future__ import annotations

import json

import pytest
from page import Page, shell
from test_add_a_data_set import copy_masks

from plugins.segmentation.data.masks import MaskOptions
from study import data

PAGE = Page("your-masks.md")


def test_the_page_names_every_option():
    (table,) = [part for part in PAGE.text.split("\n\n") if part.startswith("| key |")]
    named = {
        key.strip(" `") for row in table.splitlines()[2:] for key in row.split("|")[1].split(",")
    }
    assert named == MaskOptions.model_fields.keys()


@pytest.mark.data
@pytest.mark.train
def test_the_masks_of_the_page_train(reader, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.delenv("STUDY_DATA")
        data.prepare(["landcover"])
        embedded = data.path("landcover")
    assert PAGE.write(reader) == ["masks.yaml"]
    copy_masks(embedded, reader / "photos")
    (commands,) = PAGE.commands()
    done = shell(commands)
    assert "own set my-masks: images with a class a pixel (own data), 16/4 images" in done.stdout
    runs = sorted((reader / "results" / "runs").glob("*/result.json"))
    assert [path.parent.name.rpartition("-s0-")[0] for path in runs] == [
        "segmentation-my-masks-0010-conv4.conv5.head",
        "segmentation-my-masks-none",
    ]
    for path in runs:
        metrics = json.loads(path.read_text())["metrics"]
        assert metrics["classes"] == 4
        assert 0 < metrics["mIoU"] < 1
    card = json.loads((reader.parent / "data" / "my-masks" / "card.json").read_text())
    assert card["counts"]["items"] == {"train": 16, "val": 4}
    assert sum(card["counts"]["pixels"]["val"].values()) > 0
