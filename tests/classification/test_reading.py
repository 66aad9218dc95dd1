"""What training and evaluation see of the images of a set."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import squares
from mmengine.registry import DATASETS, init_default_scope

from plugins.classification.config import runner_config
from plugins.classification.reading import SHAPES, RandomResizedCrop


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return squares.make(tmp_path_factory.mktemp("squares"))


def dataset(data, folder, split="train", **recipe):
    init_default_scope("mmengine")
    config = runner_config(squares.job(data, folder, **recipe))
    return DATASETS.build(config[f"{split}_dataloader"]["dataset"])


def labels(read):
    return [read.get_data_info(number)["label"] for number in range(len(read))]


def test_every_image_is_read_with_the_label_of_its_folder(data, tmp_path):
    read = dataset(data, tmp_path)
    assert read.metainfo["classes"] == tuple(f"{name} square" for name in squares.COLOURS)
    assert Counter(labels(read)) == dict(enumerate(squares.COUNTS.values()))
    colours = list(squares.COLOURS.values())
    for sample in read:
        image, label = sample["inputs"].numpy(), int(sample["data_samples"].label)
        assert image.shape == (3, 32, 32)
        brightest = np.quantile(image, 0.95, axis=(1, 2))
        assert np.abs(brightest - colours[label]).max() < 70


@pytest.mark.parametrize("field", ["training_images", "evaluation_images"])
def test_the_first_images_are_a_sample_of_all_classes_and_always_the_same(field, data, tmp_path):
    split = "train" if field == "training_images" else "val"
    first = dataset(data, tmp_path, split, **{field: 12})
    seen = Counter(labels(first))
    assert seen.total() == 12
    assert len(seen) >= 3
    assert max(seen.values()) < 8  # sorted by class, all twelve would be red
    more = dataset(data, tmp_path, split, **{field: 20})
    paths = [[r.get_data_info(n)["img_path"] for n in range(12)] for r in (first, more)]
    assert paths[0] == paths[1]
    assert len(set(paths[0])) == 12


def test_an_evaluation_sees_the_middle_of_the_scaled_image(data, tmp_path):
    read = dataset(data, tmp_path, "val", evaluation_resize=64)
    sample = read[0]["data_samples"]
    # 32 x 40 becomes 64 x 80.
    assert sample.scale_factor == pytest.approx((2, 2))
    assert sample.img_shape == (32, 32)
    plain = dataset(data, tmp_path, "val")[0]["inputs"].numpy()
    import cv2

    whole = cv2.imread(read.get_data_info(0)["img_path"])
    assert (plain == whole[:, 4:36].transpose(2, 0, 1)).all()


def test_crops_have_the_areas_and_shapes_that_were_asked_for():
    np.random.seed(0)
    cut = RandomResizedCrop((20, 30), (0.2, 0.6))
    windows = np.array([cut.window(100, 120) for _ in range(3000)])
    top, left, height, width = windows.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 100).all()
    assert (left + width <= 120).all()
    shares, shapes = height * width / 12_000, width / height
    # Rounding to pixels moves them a little.
    assert 0.19 < shares.min() < 0.21
    assert 0.58 < shares.max() < 0.61
    assert abs(np.mean(shares) - 0.4) < 0.01
    assert SHAPES[0] - 0.02 < shapes.min() < shapes.max() < SHAPES[1] + 0.02
    assert abs(np.log(shapes).mean()) < 0.01
    assert abs((left / (120 - width)).mean() - 0.5) < 0.02


def test_where_no_crop_fits_it_is_the_middle_in_the_nearest_shape():
    cut = RandomResizedCrop((20, 30), (1.0, 1.0))
    assert cut.window(100, 400) == (0, 133, 100, 133)
    assert cut.window(400, 90) == (140, 0, 120, 90)


def test_a_crop_is_scaled_to_the_size_and_holds_the_pixels_of_its_window(monkeypatch):
    image = np.zeros((60, 60, 3), np.uint8)
    image[10:40, 20:50] = 200
    cut = RandomResizedCrop((15, 45), (0.5, 1.0))
    monkeypatch.setattr(cut, "window", lambda height, width: (10, 20, 30, 30))
    seen = cut.transform({"img": image})
    assert seen["img"].shape == (15, 45, 3)
    assert seen["img_shape"] == (15, 45)
    assert (seen["img"] == 200).all()
