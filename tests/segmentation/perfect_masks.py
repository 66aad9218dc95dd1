"""The oracle: labels as predictions, through the product's own validation set and metric."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, METRICS
from mmseg.utils import register_all_modules
from PIL import Image

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.segmentation.recipe import Recipe
from plugins.segmentation.task import Segmentation

__all__ = ["check", "evaluated", "is_perfect", "job_of", "loaded", "write"]


def job_of(folder: Path, **recipe) -> Job:
    """A run on the set in `folder`."""
    return Job(
        mechanism=Word.parse("none"),
        sites=(),
        seed=0,
        recipe=Recipe(data="masks", crop=(16, 16), batch_size=1, **recipe),
        data=folder,
        folder=folder.parent / "run",
        device="cpu",
        record=None,
        recorded=None,
    )


@functools.lru_cache(maxsize=1)
def config_of(folder: Path, **recipe):
    """The run's config, which takes a while to read."""
    from plugins.segmentation.config import runner_config

    register_all_modules(init_default_scope=True)
    return runner_config(job_of(folder, **recipe))


def loaded(folder: Path, split: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Image (height, width, RGB) and label of a split, by name, as evaluation loads them."""
    config = dict(config_of(folder)["val_dataloader"]["dataset"])
    config["data_prefix"] = {k: v.replace("val", split) for k, v in config["data_prefix"].items()}
    found = {}
    for item in DATASETS.build(config):
        sample = item["data_samples"]
        name = Path(sample.img_path).name.removesuffix("_leftImg8bit.png")
        image = item["inputs"].numpy().transpose(1, 2, 0)[..., ::-1]
        found[name] = (image, sample.gt_sem_seg.data[0].numpy())
    return found


def evaluated(folder: Path, truth: dict[str, np.ndarray], **recipe) -> dict[str, float]:
    """Metrics of the predictions `truth`, by name of the image; where it is 255, of class 0."""
    config = config_of(folder, **recipe)
    dataset = DATASETS.build(dict(config["val_dataloader"]["dataset"]))
    metric = METRICS.build(dict(config["val_evaluator"]))
    metric.dataset_meta = dataset.metainfo
    for item in dataset:
        sample = item["data_samples"]
        name = Path(sample.img_path).name.removesuffix("_leftImg8bit.png")
        predicted = np.where(truth[name] == 255, 0, truth[name]).astype(np.int64)
        sample.pred_sem_seg = PixelData(data=torch.from_numpy(predicted)[None])
        metric.process(item, [sample.to_dict()])
    return metric.evaluate(len(dataset))


def check(folder: Path):
    """What the task finds."""
    return Segmentation().check_data(folder, True, lambda doing: None)


def is_perfect(folder: Path, truth: dict[str, dict[str, np.ndarray]]) -> None:
    """Assert that training and evaluation see `truth`, by split and name, and measure it right."""
    for split, labels in truth.items():
        seen = loaded(folder, split)
        assert seen.keys() == labels.keys()
        for name, label in labels.items():
            assert np.array_equal(seen[name][1], label), (split, name)
    values = np.concatenate([label.ravel() for label in truth["val"].values()])
    found = evaluated(folder, truth["val"])
    classes = len(np.unique(values[values != 255]))
    assert found == {"aAcc": 1.0, "mIoU": 1.0, "mAcc": 1.0, "classes": classes}


def write(path: Path, pixels, **options) -> Path:
    """Save an array, or an image of Pillow's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path
