"""Questions with their images, as training and evaluation see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import DATA_SAMPLERS, DATASETS, MODELS
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from plugins.contracts.dataset import PrepareError
from plugins.openmmlab.training import WholeBatches
from plugins.question_answering.boxes import FeaturesOfBoxes
from plugins.question_answering.data.answers import targets
from plugins.question_answering.data.layout import read_questions
from plugins.question_answering.data.objects import attributes, in_cells, read_objects, shares
from plugins.question_answering.data.words import PADDING, known_words, numbers

__all__ = ["Asked", "EachImageOnce", "ImageByImage", "read_image", "read_image_of_user"]

OF_IMAGE = 3
"""Dimensions of an image; features of boxes have two."""


@DATASETS.register_module()
class Asked(Dataset):
    """The questions of a split, one an item.

    Parameters
    ----------
    data_root: str
        Folder of the prepared set.
    split: str
        ``train``, whose items have ``scores``, or another one, whose items have ``number`` and
        ``boxes``.
    metainfo: dict
        ``classes``: the answers that are known.
    size: (int, int), optional
        Height and width to which images are scaled. None: the data set has features of boxes; or,
        without `boxes`, nothing is seen of an image.
    length: int
        Words of a question that are read.
    images, training_images: int, optional
        Only the questions about the first so many images, in `split` and for the words of train.
    cells: (int, int), optional
        Rows and columns in which objects are named, in ``named``.
    boxes, channels: int, optional
        How many boxes of an image are read at most, and the width of their features.

    Attributes
    ----------
    image_numbers: numpy.ndarray
        (questions,), equal for those about one image.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        metainfo: dict[str, Any],
        size: tuple[int, int] | None,
        length: int,
        images: int | None = None,
        training_images: int | None = None,
        cells: tuple[int, int] | None = None,
        boxes: int | None = None,
        channels: int | None = None,
    ) -> None:
        self.root, self.size, self.cells = Path(data_root), size, cells
        # A plain dict: checkpoints hold it, and are read without executing anything.
        self.metainfo = {"classes": tuple(metainfo["classes"])}
        questions = read_questions(self.root, split, images)
        known = known_words(self.root, training_images)
        self.words = torch.tensor([numbers(each.question, known, length) for each in questions])
        self.paths = list(dict.fromkeys(question.image for question in questions))
        number = {path: index for index, path in enumerate(self.paths)}
        self.image_numbers = np.array([number[question.image] for question in questions])
        self.features = None
        if boxes is not None:
            assert channels is not None
            self.features = FeaturesOfBoxes(self.root, boxes, channels)
            self.features.check(self.paths)
        self.boxes = self.scores = None
        if split == "train":
            self.scores = targets(self.metainfo["classes"], questions)
        else:
            self.boxes = [question.boxes for question in questions]
        if cells is not None:
            self.objects = read_objects(self.root, split)
            self.attributes = attributes(self.objects)
            if lacking := [path for path in self.paths if path not in self.objects]:
                raise PrepareError(f"{self.root / 'objects' / split}.jsonl lacks {lacking[0]}")
        self._latest: tuple[int, dict[str, Tensor], tuple[int, int] | None] | None = None

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = int(self.image_numbers[index])
        shown, size = self._read(image)
        item: dict[str, Any] = {**shown, "words": self.words[index], "image": image}
        if self.scores is not None:
            item["scores"] = torch.zeros(len(self.metainfo["classes"]))
            for answer, right in self.scores[index]:
                item["scores"][answer] = right
        if self.boxes is not None:
            boxes = [shares(box, size) for box in self.boxes[index]] if size else []
            item["number"] = index
            item["boxes"] = torch.tensor(boxes).reshape(-1, 4)
        return item

    def _read(self, image: int) -> tuple[dict[str, Tensor], tuple[int, int] | None]:
        """Return what is seen of an image, and height and width of its file if that is read.

        The latest is kept: questions about an image come together.
        """
        if self._latest is None or self._latest[0] != image:
            self._latest = (image, *self._seen(self.paths[image]))
        return self._latest[1:]

    def _seen(self, path: str) -> tuple[dict[str, Tensor], tuple[int, int] | None]:
        if self.features is not None:
            return self.features.read(path)[0], None
        if self.size is not None:
            return self._image(path, self.size)
        return {"inputs": torch.zeros(0, 0)}, None  # no boxes; a batch of these can be stacked

    def _image(
        self, path: str, scaled: tuple[int, int]
    ) -> tuple[dict[str, Tensor], tuple[int, int]]:
        pixels, size = read_image(self.root / path, scaled)
        shown = {"inputs": pixels}
        if self.cells is not None:
            named = in_cells(self.objects[path], self.attributes, size, self.cells)
            shown["named"] = torch.from_numpy(named)
        return shown, size


def read_image(path: Path, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
    """Return an image scaled to height and width, (3, H, W) in BGR, and what these were before."""
    pixels = mmcv.imread(path)
    scaled = mmcv.imresize(pixels, size[::-1])
    chw = np.ascontiguousarray(scaled.transpose(2, 0, 1))
    return torch.from_numpy(chw), pixels.shape[:2]


def read_image_of_user(path: Path, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
    """Return what `read_image` does; ValueError if it is no image."""
    try:
        return read_image(path, size)
    except (OSError, AttributeError, cv2.error) as error:  # mmcv returns None for what is no image
        raise ValueError(f"{path} cannot be read as an image: {error}") from None


@DATA_SAMPLERS.register_module()
class ImageByImage(WholeBatches):
    """Shuffles images and keeps the questions about each together, so that it is seen once a step.

    Of several processes each gets a contiguous part of a batch. So an image that two of them ask
    about counts twice in the statistics of a batch normalisation that learns. What is left of an
    epoch's questions makes no batch and is left out.
    """

    def __iter__(self) -> Iterator[int]:
        numbers = self.dataset.image_numbers
        # Of seed and epoch alone, so that a resumed run sees what an undisturbed one does.
        turns = np.random.default_rng([self.seed, self.epoch]).permutation(numbers.max() + 1)
        order = np.argsort(turns[numbers], kind="stable")[: self.total_size]
        share = self.batch_size // self.world_size
        parts = order.reshape(-1, self.world_size, share)
        return iter(parts[:, self.rank].ravel().tolist())


@MODELS.register_module()
class EachImageOnce(ImgDataPreprocessor):
    """Stacks a batch of questions, and each image once, however many ask about it.

    Of boxes an image may have more than another, so they are padded.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return what `Answering.forward` takes."""
        words = torch.stack(list(data["words"]))
        longest = int((words != PADDING).sum(1).max())
        batch = {**self.seen(data, training), "words": words[:, :longest]}
        if "scores" in data:
            batch["scores"] = torch.stack(list(data["scores"]))
        kept = {name: data[name] for name in ("boxes", "number") if name in data}
        return {**self.cast_data(batch), **kept}

    def seen(self, data: dict[str, Any], training: bool) -> dict[str, Tensor]:
        """Return ``inputs`` and ``of_image``; and ``places``, ``absent``, ``named``, if known."""
        place: dict[int, int] = {}
        of_image = [place.setdefault(image, len(place)) for image in data["image"]]
        first = [of_image.index(number) for number in range(len(place))]
        inputs = [data["inputs"][at] for at in first]
        found = {"of_image": torch.tensor(of_image)}
        if inputs[0].dim() == OF_IMAGE:
            found["inputs"] = super().forward({"inputs": inputs}, training)["inputs"]
        else:
            found["inputs"] = pad_sequence(inputs, batch_first=True)
        if "places" in data:
            places = [data["places"][at] for at in first]
            boxes = torch.tensor([len(each) for each in places])
            found["places"] = pad_sequence(places, batch_first=True)
            found["absent"] = torch.arange(int(boxes.max())) >= boxes[:, None]
        if "named" in data:
            found["named"] = torch.stack([data["named"][at] for at in first])
        return found
