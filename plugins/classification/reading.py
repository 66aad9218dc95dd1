"""Images of a prepared set, as training and evaluation see them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.image import imresize
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, TRANSFORMS
from mmengine.structures import BaseDataElement

from plugins.classification.data.layout import find_images

__all__ = ["LabelledImages", "PackImage", "RandomResizedCrop"]

SHAPES = (3 / 4, 4 / 3)
"""Width by height of what is cut out at random."""
TRIES = 10
"""Areas and shapes that are drawn until one fits into the image. Both numbers are torchvision's."""


@DATASETS.register_module()
class LabelledImages(BaseDataset):
    """The images of a split, with their labels.

    The files are sorted by class. The first `indices` of them would be of the first classes, so
    they are shuffled, always alike, where some are left out.

    Parameters
    ----------
    split: str
        ``train`` or ``val``.
    **options
        Those of MMEngine's ``BaseDataset``.
    """

    def __init__(self, split: str, **options: Any) -> None:
        self.split = split
        super().__init__(**options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return path and label of each image."""
        root = Path(self.data_root)
        found = [
            {"img_path": str(root / path), "label": label}
            for path, label in find_images(root, self.split)
        ]
        if self._indices is None:
            return found
        # The older generator, whose numbers no version of NumPy changes.
        order = np.random.RandomState(0).permutation(len(found))
        return [found[number] for number in order]


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """Cuts out a part of random area and shape, and scales it (Szegedy et al. 2015, section 6).

    Parameters
    ----------
    size: (int, int)
        Height and width that come out.
    areas: (float, float)
        Least and largest share of the image's area.
    """

    def __init__(self, size: tuple[int, int], areas: tuple[float, float]) -> None:
        self.size, self.areas = size, areas

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace ``img``, (H, W, 3)."""
        top, left, height, width = self.window(*results["img"].shape[:2])
        part = results["img"][top : top + height, left : left + width]
        results["img"] = imresize(part, self.size[::-1])
        results["img_shape"] = self.size
        return results

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Draw top, left, height and width of a part of an image of that height and width.

        If no shape that is drawn fits, it is the middle, in the nearest shape that is allowed.
        """
        for _ in range(TRIES):
            area = height * width * np.random.uniform(*self.areas)
            shape = math.exp(np.random.uniform(math.log(SHAPES[0]), math.log(SHAPES[1])))
            w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if 0 < w <= width and 0 < h <= height:
                top = np.random.randint(height - h + 1)
                left = np.random.randint(width - w + 1)
                return top, left, h, w
        w = min(width, round(height * SHAPES[1]))
        h = min(height, round(width / SHAPES[0]))
        return (height - h) // 2, (width - w) // 2, h, w


@TRANSFORMS.register_module()
class PackImage(BaseTransform):
    """Makes what a model takes: ``inputs``, (3, H, W) in uint8, and ``data_samples``."""

    META = ("img_path", "ori_shape", "img_shape", "scale_factor")

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return inputs and sample; without a label for an image that has none."""
        meta = {name: results[name] for name in self.META if name in results}
        sample = BaseDataElement(metainfo=meta)
        if "label" in results:
            sample.set_data({"label": torch.tensor(results["label"])})
        image = np.ascontiguousarray(results["img"].transpose(2, 0, 1))
        return {"inputs": torch.from_numpy(image), "data_samples": sample}
