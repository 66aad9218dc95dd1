"""docs/your-boxes.md, followed to the letter with tiles of the embedded set as the photos."""

from __future__ import annotations

import json

import pytest
from page import Page, shell
from test_add_a_data_set import copy_boxes

from plugins.detection.data.boxes import BoxesOptions
from study import data

PAGE = Page("your-boxes.md")


def test_the_page_names_every_option():
    (table,) = [part for part in PAGE.text.split("\n\n") if part.startswith("| key |")]
    named = {
        key.strip(" `") for row in table.splitlines()[2:] for key in row.split("|")[1].split(",")
    }
    assert named == BoxesOptions.model_fields.keys()


@pytest.mark.data
@pytest.mark.train
def test_the_boxes_of_the_page_train(reader, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.delenv("STUDY_DATA")
        data.prepare(["trees"])
        embedded = data.path("trees")
    assert PAGE.write(reader) == ["boxes.yaml"]
    copy_boxes(embedded, reader / "photos")
    (commands,) = PAGE.commands()
    done = shell(commands)
    assert "own set my-boxes: photos with boxes (own data), 8/4 images" in done.stdout
    runs = sorted((reader / "results" / "runs").glob("*/result.json"))
    assert [path.parent.name.rpartition("-s0-")[0] for path in runs] == [
        "detection-my-boxes-0010-conv4.conv5",
        "detection-my-boxes-none",
    ]
    for path in runs:
        metrics = json.loads(path.read_text())["metrics"]
        assert all(0 <= metrics[name] <= 1 for name in ("mAP", "mAP_50", "mAP_75"))
        assert min(metrics.values()) >= 0
    _what_the_page_says_of_faults(reader)


def _what_the_page_says_of_faults(folder):
    file = folder / "photos" / "annotations" / "val.json"
    whole = file.read_text()
    for key, value, sentence in (
        ("image_id", 999, "is of image 999, which is not listed"),
        ("bbox", ["1", 2, 3, 4], "not four numbers x, y, width, height"),
        ("bbox", [9, 9, -3, 4], "of a width or height below 0"),
    ):
        content = json.loads(whole)
        content["annotations"][0][key] = value
        file.write_text(json.dumps(content))
        said = shell("study data add boxes other --from photos 2>&1 || echo code $?").stdout
        assert f"{file}: annotation " in said
        assert sentence in said
        assert "Traceback" not in said
        assert said.endswith("code 2\n")
        assert not (folder.parent / "data" / "other").exists()
