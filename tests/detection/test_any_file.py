"""Whatever an annotation file has: it is refused, or learned and measured as its card says."""

from __future__ import annotations

import copy
import json
import math
import tempfile
from pathlib import Path

import oracle
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from plugins.contracts.dataset import PrepareError
from plugins.detection.data.boxes import Boxes, BoxesOptions
from plugins.detection.task import Detection

MISSING = object()
BOXES = [
    [5, 5, 9, 9], [0, 0, 64, 48], [63, 47, 1, 1], [5.25, 5.5, 9.75, 9.125], [-0.5, 40, 9, 8.5],
    [5, 5, 0.5, 9], [60, 5, 9, 9], [64, 5, 1, 9], [0.1, 0.1, 0.2, 0.2], [5, 5, -3, 9],
    [5, 5, 9, "9"], [5, 5, 9], [5, 5, math.nan, 9], [5, 5, 1e400, 9], None, {}, "abcd", MISSING,
]  # fmt: skip
IDS = [1, 2, 3, 9, 0, -1, "1", "x", 1.0, True, None, [], MISSING]
VALUES = {
    "annotations": {
        "id": [*IDS, 100, 101],
        "image_id": [*IDS, 1, 2, 3, 4],
        "category_id": [*IDS, 1, 1, 2, 2],
        "bbox": [*BOXES, *BOXES[:5]],
        "area": [12, 0.5, 0, -1, math.nan, "12", None, MISSING],
        "iscrowd": [0, 1, True, 2, "0", None, MISSING],
        "ignore": [0, 1, None],
    },
    "images": {
        "id": [*IDS, 100, 101],
        "file_name": ["val1.png", "train1.png", "./val2.png", "../val1.png", "", None, 3, MISSING],
        "width": [64, 64.0, 63, 48, 7, "64", 0, math.nan, None, MISSING],
    },
    "categories": {
        "id": [*IDS, 1, 2, 7, 8],
        "name": ["a", "b", "c", "A", " b", "é", "", None, 3, MISSING],
    },
}  # fmt: skip


@st.composite
def edits(draw):
    """One change of one file: a list, an entry or a value."""
    what = draw(st.sampled_from(list(VALUES)))
    how = draw(
        st.sampled_from(["set", "set", "set", "set all", "delete", "twice", "reverse", "clear"])
    )
    index = draw(st.integers(0, 7))
    key = draw(st.sampled_from(list(VALUES[what])))
    value = draw(st.sampled_from(VALUES[what][key]))
    return draw(st.sampled_from(["train", "val", "both"])), what, how, index, key, value


def change(content, what, how, index, key, value):
    entries = content[what]
    if not entries:
        return
    index %= len(entries)
    if how == "delete":
        del entries[index]
    elif how == "twice":
        entries.append(copy.deepcopy(entries[index]))
    elif how == "reverse":
        entries.reverse()
    elif how == "clear":
        entries.clear()
    else:
        for entry in entries if how == "set all" else [entries[index]]:
            if value is MISSING:
                entry.pop(key, None)
            else:
                entry[key] = copy.deepcopy(value)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images") / "images"
    oracle.write_images(folder)
    return folder


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.lists(edits(), min_size=1, max_size=2), by_door=st.booleans())
def test_a_file_is_refused_or_measured_right(images, changes, by_door):
    contents = {split: oracle.content(split) for split in ("train", "val")}
    for split, *edit in changes:
        for each in ("train", "val") if split == "both" else (split,):
            change(contents[each], *edit)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "mine"
        (folder / "annotations").mkdir(parents=True)
        for split, content in contents.items():
            (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))
        (folder / "images").symlink_to(images)
        prepared, refused = folder, None
        try:
            if by_door:
                prepared = folder.parent / "out"
                prepared.mkdir()
                Boxes().prepare(folder, prepared, BoxesOptions(), lambda doing: None)
            counts = Detection().check_data(prepared, True, lambda doing: None).counts
        except PrepareError as error:
            refused = str(error)
        if refused is not None:
            event("refused")
            assert refused.startswith((f"{folder}/", f"{images}/", f"images of {folder}/"))
            return
        event("accepted")
        assert oracle.trained(prepared) == (counts["trained"]["train"], counts["trained_boxes"])
        assert oracle.perfect(prepared) == oracle.PERFECT
