"""What a perfect detector reaches on a set: its ground truth, as labels, given as predictions.

The product's own dataset makes the labels and its own metric judges them, so whatever training and
evaluation see otherwise takes something from 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmdet.registry import DATASETS, METRICS
from mmdet.utils import register_all_modules
from mmengine.structures import InstanceData
from PIL import Image

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.detection.config import runner_config
from plugins.detection.recipe import Recipe
from plugins.detection.task import Detection

WIDTH, HEIGHT = 64, 48
PERFECT = {"mAP": 1.0, "mAP_50": 1.0, "mAP_75": 1.0}


def job(data: Path, **recipe: object) -> Job:
    return Job(
        mechanism=Word.parse("none"),
        sites=Detection.default_sites,
        seed=0,
        recipe=Recipe(image_scale=(WIDTH, HEIGHT), **recipe),
        data=data,
        folder=data,
        device="cpu",
        record=lambda *_, **__: None,
        recorded=lambda _: [],
    )


def perfect(data: Path, **recipe: object) -> dict[str, float]:
    """Return the three APs of a perfect detector, with as many digits as are recorded."""
    found = metrics(data, lambda truth: truth.bboxes.tensor, **recipe)
    return {name: round(found[f"coco/bbox_{name}"], 6) for name in PERFECT}


def metrics(data: Path, boxes, **recipe: object) -> dict[str, float]:
    """Return all metrics if `boxes` of each image's truth are predicted, of the true classes."""
    register_all_modules(init_default_scope=True)
    config = runner_config(job(data, **recipe))
    shown = DATASETS.build(config["val_dataloader"]["dataset"])
    metric = METRICS.build(config["val_evaluator"])
    metric.dataset_meta = shown.metainfo
    for index in range(len(shown)):
        sample = shown[index]["data_samples"]
        truth = sample.gt_instances
        predicted = boxes(truth)
        sample.pred_instances = InstanceData(
            bboxes=predicted,
            labels=truth.labels[: len(predicted)],
            scores=predicted.new_ones(len(predicted)),
        )
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(shown))


def trained(data: Path) -> tuple[int, int]:
    """Return the numbers of images and of boxes that are learned from."""
    register_all_modules(init_default_scope=True)
    dataset = DATASETS.build(runner_config(job(data))["train_dataloader"]["dataset"])
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    boxes = sum(not each["ignore_flag"] for info in infos for each in info["instances"])
    return len(infos), boxes


def content(split: str) -> dict:
    """Return a sound annotation file of four images with two boxes each."""
    chance = np.random.default_rng(len(split))
    images, annotations = [], []
    for i in range(1, 5):
        images.append({"id": i, "file_name": f"{split}{i}.png", "width": WIDTH, "height": HEIGHT})
        for category in (1, 2):
            x, y, width, height = (int(n) for n in chance.integers(5, 20, 4))
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": category,
                 "bbox": [x, y, width, height], "area": width * height, "iscrowd": 0}
            )  # fmt: skip
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_images(folder: Path) -> None:
    """Write the images of `content` for both splits."""
    folder.mkdir(parents=True)
    chance = np.random.default_rng(0)
    for split in ("train", "val"):
        for i in range(1, 5):
            pixels = chance.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{split}{i}.png")
