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
VALUES = st.sampled_from(
    [MISSING, None, 0, 1, 2, 3, -1, 7, 0.5, 1.0, 30, 64, 1e9, math.nan, math.inf, True, False, "",
     "1", "a", "b", "A", "c", [], {}, [1], [5, 5, 9, 9], [5, 5, 0.5, 9], [60, 5, 9, 9],
     [-1, 40, 9, 9],
     [64, 5, 1, 9], [0.1, 0.1, 0.2, 0.2], [5, 5, -3, 9], [5, 5, 9, "9"], "val1.png", "val2.png",
     "train1.png", "../x.png"]
)  # fmt: skip
KEYS = {
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore"),
    "images": ("id", "file_name", "width", "height"),
    "categories": ("id", "name"),
}


@st.composite
def edits(draw):
    """One change of one file: a list, an entry or a value."""
    what = draw(st.sampled_from(list(KEYS)))
    how = draw(
        st.sampled_from(["set", "set", "set", "set all", "delete", "twice", "reverse", "clear"])
    )
    index = draw(st.integers(0, 7))
    key = draw(st.sampled_from(KEYS[what]))
    return draw(st.sampled_from(["train", "val", "both"])), what, how, index, key, draw(VALUES)


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
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.lists(edits(), min_size=1, max_size=3), by_door=st.booleans())
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
