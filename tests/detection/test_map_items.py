"""mAP of any sample of images, from their matches, is pycocotools' of a set that repeats them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from plugins.detection.items import map_of_samples, matches
from plugins.detection.task import Detection

IMAGES, CATEGORIES = 12, (3, 7, 8, 20)
COPIES = 1000  # more than there are of an image


def made(seed: int, levels: int) -> tuple[list[dict], list[dict]]:
    """Boxes and detections with so many different scores.

    The last category has no box, one image has neither, and crowds are ignored.
    """
    chance = np.random.default_rng(seed)
    boxes, detections = [], []
    for image in range(IMAGES - 1):
        for category in CATEGORIES:
            for _ in range(chance.integers(0, 4)):
                x, y, width, height = chance.integers(5, 40, 4).tolist()
                box = {"image_id": image, "category_id": category, "bbox": [x, y, width, height]}
                box |= {"area": width * height, "iscrowd": int(chance.random() < 0.15)}
                if category != CATEGORIES[-1]:
                    boxes.append(box)
                for _ in range(chance.integers(0, 3)):
                    moved = (np.array(box["bbox"]) + chance.integers(-4, 5, 4)).tolist()
                    score = float(np.float32(chance.integers(1, levels + 1) / levels))
                    detections.append(
                        {"image_id": image, "category_id": category, "bbox": moved, "score": score}
                    )
            if chance.random() < 0.5:
                wrong = {"image_id": image, "category_id": category, "bbox": [1, 1, 9, 9]}
                detections.append(wrong | {"score": float(chance.integers(1, levels + 1) / levels)})
    return boxes, detections


def evaluated(boxes: list[dict], detections: list[dict], images: list[int]) -> COCOeval:
    truth = COCO()
    truth.dataset = {
        "images": [{"id": image} for image in images],
        "categories": [{"id": category} for category in CATEGORIES],
        "annotations": [box | {"id": number} for number, box in enumerate(boxes, 1)],
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(detections) if detections else COCO(), "bbox")
    evaluation.params.imgIds = images
    evaluation.evaluate()
    return evaluation


def value(evaluation: COCOeval) -> float:
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0]


def repeated(entries: list[dict], weights: np.ndarray) -> list[dict]:
    """Entries of a set in which image i is there so often, under numbers of its own."""
    return [
        entry | {"image_id": entry["image_id"] * COPIES + copy}
        for copy in range(weights.max())
        for entry in entries
        if copy < weights[entry["image_id"]]
    ]


@pytest.mark.parametrize("levels", [1, 3, 10**6])
def test_it_is_pycocotools_of_a_set_in_which_the_images_are_repeated(levels, capsys):
    """With few levels most detections have the score of another, also of the same image."""
    boxes, detections = made(levels, levels)
    whole = evaluated(boxes, detections, list(range(IMAGES)))
    items = matches(whole)
    chance = np.random.default_rng(5)
    weights = chance.integers(0, 5, (25, IMAGES)) * (chance.random((25, IMAGES)) < 0.6)
    weights[0], weights[1] = 1, 0
    weights[2], weights[2, IMAGES - 1] = 0, 3
    found = Detection().value_of_items(items, weights)
    assert found[0] == pytest.approx(value(whole), abs=1e-9)
    assert np.isnan(found[1:3]).all()
    for number, sample in enumerate(weights[3:], 3):
        images = [i * COPIES + copy for i in range(IMAGES) for copy in range(sample[i])]
        copies = evaluated(repeated(boxes, sample), repeated(detections, sample), images)
        assert found[number] == pytest.approx(value(copies), abs=1e-9)
    assert len(set(found.round(6))) > 15
    assert items["ignored"].any()
    assert np.unpackbits(items["tied"]).any() == (levels < 10**6)


def test_samples_are_independent_of_each_other():
    """A sample's value does not depend on the others that it is asked for with."""
    items = matches(evaluated(*made(1, 2), list(range(IMAGES))))
    weights = np.random.default_rng(0).integers(0, 6, (10, IMAGES))
    together = map_of_samples(items, weights)
    alone = [map_of_samples(items, sample[None])[0] for sample in weights]
    assert together == pytest.approx(alone, abs=1e-12)


def test_nothing_predicted_is_0_where_there_is_something_to_find():
    boxes, _ = made(0, 1)
    items = matches(evaluated(boxes, [], list(range(IMAGES))))
    found = map_of_samples(items, np.eye(IMAGES, dtype=int))
    to_find = {box["image_id"] for box in boxes if not box["iscrowd"]}
    for image, value_of_image in enumerate(found):
        assert value_of_image == 0 if image in to_find else np.isnan(value_of_image)
    assert 0 < len(to_find) < IMAGES


def test_a_hundred_detections_of_an_image_and_a_category_count():
    box = {"image_id": 0, "category_id": 3, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0}
    wrong = {"image_id": 0, "category_id": 3, "bbox": [50, 50, 9, 9]}
    right = {key: box[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.1}
    for number in (99, 100):
        detections = [wrong | {"score": 0.9 - i / 1000} for i in range(number)] + [right]
        evaluation = evaluated([box], detections, [0])
        found = map_of_samples(matches(evaluation), np.ones((1, 1), int))[0]
        assert found == pytest.approx(value(evaluation), abs=1e-9)
        assert (found > 0) == (number == 99)


def test_a_thousand_samples_of_some_hundred_images_take_seconds():
    chance = np.random.default_rng(0)
    images, count = 300, 5 * 300 * 20
    items = {
        "item": np.arange(images),
        "category": np.arange(5),
        "boxes": chance.poisson(2, (5, images)),
        "detections": np.full(5, count // 5),
        "thresholds": np.asarray(10),
        "image": chance.integers(0, images, count),
        "tied": np.packbits(np.zeros(count, bool)),
        "right": np.packbits(chance.random((count, 10)) < 0.05, axis=1),
        "ignored": np.packbits(np.zeros((count, 10), bool), axis=1),
    }
    weights = chance.multinomial(images, np.full(images, 1 / images), 1000)
    began = time.process_time()
    found = map_of_samples(items, weights)
    print(f"{time.process_time() - began:.1f} s")
    assert time.process_time() - began < 30
    assert 0 < found.std() < found.mean()
