"""A few steps of gradient descent on made-up images, nothing at random: TASK DATA FOLDER [OPTIONS].

Options are fields of the recipe, in JSON.

Trains as one of the processes that torch's variables tell of.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from plugins.attention.core.word import Word
from plugins.classification.data.layout import write_classes
from plugins.contracts.job import Job
from plugins.contracts.tasks import find_task

SIZE = 64
IMAGES = {"segmentation": 7, "detection": 4, "classification": 7}
"""Of the seven, four make an epoch's only whole batch."""
COMMON = {
    "depth": 14, "base_channels": 8, "flip": 0, "epochs": 5, "batch_size": 4,
    "optimizer": "sgd", "learning_rate": 0.1,
}  # fmt: skip
RECIPES = {
    "segmentation": {"crop": (SIZE, SIZE), "dropout": 0, "head_channels": 16},
    "detection": {
        "image_scale": (SIZE, SIZE), "anchor_scale": 4, "proposals": 20, "rois": 8,
        "fpn_channels": 16, "head_channels": 32, "warmup_iterations": 1, "gradient_clip": 0.5,
    },
    "classification": {"crop": (SIZE, SIZE), "stem": "imagenet", "area_range": (1, 1)},
}  # fmt: skip


SHADES = ("dark", "grey", "light")


def make_data(folder: Path) -> None:
    """Rectangles on noise, as the tasks want to have them; their shades are three classes."""
    chance = np.random.default_rng(0)
    for task, count in IMAGES.items():
        for split in ("train", "val"):
            annotations, images = [], []
            for i in range(count):
                image = chance.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
                labels = np.zeros((SIZE, SIZE), np.uint8)
                x, y, width, height = (int(n) for n in chance.integers(12, 28, 4))
                kind = i % 3 if task == "classification" else 0
                image[y : y + height, x : x + width] //= 3
                image[y : y + height, x : x + width] += np.uint8(80 * kind)
                labels[y : y + height, x : x + width] = 1
                name = f"{split}{i}"
                if task == "segmentation":
                    _write(folder / task / f"leftImg8bit/{split}/{name}_leftImg8bit.png", image)
                    _write(
                        folder / task / f"gtFine/{split}/{name}_gtFine_labelTrainIds.png", labels
                    )
                elif task == "classification":
                    _write(folder / task / split / SHADES[kind] / f"{name}.png", image)
                else:
                    _write(folder / task / "images" / f"{name}.png", image)
                images.append({"id": i, "file_name": f"{name}.png", "width": SIZE, "height": SIZE})
                annotations.append(
                    {"id": i, "image_id": i, "category_id": 1, "bbox": [x, y, width, height],
                     "area": width * height, "iscrowd": 0}
                )  # fmt: skip
            path = folder / task / "annotations" / f"{split}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                json.dumps(
                    {"images": images, "annotations": annotations,
                     "categories": [{"id": 1, "name": "box"}]}
                )
            )  # fmt: skip
    meta = {"classes": ["ground", "box"], "palette": [[0, 0, 0], [255, 255, 255]]}
    (folder / "segmentation" / "meta.json").write_text(json.dumps(meta))
    write_classes(folder / "classification", {shade: shade for shade in SHADES})


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def job(task: str, data: Path, folder: Path, **options: object) -> Job:
    """The run of a task; its metrics stay in memory."""
    known = find_task(task)
    folder.mkdir(parents=True, exist_ok=True)
    return Job(
        mechanism=Word.parse("1111"),
        sites=known.default_sites,
        seed=0,
        recipe=known.Recipe(**{**COMMON, **RECIPES[task], **options}),
        data=data / task,
        folder=folder,
        device="cpu",
        record=lambda *_, **__: None,
        recorded=lambda _: [],
        rank=int(os.environ.get("RANK", "0")),
        world=int(os.environ.get("WORLD_SIZE", "1")),
    )


def train(task: str, data: Path, folder: Path, **options: object) -> None:
    from mmdet.models.task_modules.samplers import RandomSampler

    from plugins.classification.networks import recurrent_attention

    closer = recurrent_attention.closer

    def at_whole_pixels(images, boxes):
        # Rounding would grow: an edge that moves by a millionth of the side changes by percents
        # what the next scale learns.
        return closer(images, boxes + ((boxes * SIZE).round() / SIZE - boxes).detach())

    with (
        # A detector learns from regions drawn at random, which in halves of a batch are others.
        mock.patch.object(RandomSampler, "random_choice", lambda _, all, number: all[:number]),
        mock.patch.object(recurrent_attention, "closer", at_whole_pixels),
    ):
        find_task(task).train(job(task, data, folder, **options))


if __name__ == "__main__":
    given = json.loads(sys.argv[4]) if sys.argv[4:] else {}
    train(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), **given)
