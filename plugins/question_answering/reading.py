"""Questions with their images, as training and evaluation see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from plugins.contracts.dataset import PrepareError
from plugins.openmmlab.training import WholeBatches
from plugins.question_answering.data.answers import score
from plugins.question_answering.data.layout import read_questions
from plugins.question_answering.data.objects import attributes, in_cells, read_objects, shares
from plugins.question_answering.data.rows import Question
from plugins.question_answering.data.words import known_words, numbers
from plugins.question_answering.metrics.normalisation import normalised, stripped

__all__ = ["Asked", "ImageByImage", "read_image", "read_image_of_user"]


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
    size: (int, int)
        Height and width to which images are scaled.
    length: int
        Words of a question that are read.
    images: int, optional
        Only the questions about the first so many images.
    cells: (int, int), optional
        Rows and columns in which objects are named, in ``named``.

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
        size: tuple[int, int],
        length: int,
        images: int | None = None,
        cells: tuple[int, int] | None = None,
    ) -> None:
        self.root, self.size, self.cells = Path(data_root), size, cells
        # A plain dict: checkpoints hold it, and are read without executing anything.
        self.metainfo = {"classes": tuple(metainfo["classes"])}
        questions = read_questions(self.root, split, images)
        known = known_words(self.root)
        self.words = torch.tensor([numbers(each.question, known, length) for each in questions])
        self.paths = list(dict.fromkeys(question.image for question in questions))
        number = {path: index for index, path in enumerate(self.paths)}
        self.image_numbers = np.array([number[question.image] for question in questions])
        self.boxes = self.scores = None
        if split == "train":
            self.answers = {answer: index for index, answer in enumerate(metainfo["classes"])}
            self.scores = [_scores(question, self.answers) for question in questions]
        else:
            self.boxes = [question.boxes for question in questions]
        if cells is not None:
            self.objects = read_objects(self.root, split)
            self.attributes = attributes(self.objects)
            if lacking := [path for path in self.paths if path not in self.objects]:
                raise PrepareError(f"{self.root / 'objects' / split}.jsonl lacks {lacking[0]}")
        self._latest: tuple[int, dict[str, Tensor], tuple[int, int]] | None = None

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = int(self.image_numbers[index])
        shown, size = self._read(image)
        item: dict[str, Any] = {**shown, "words": self.words[index], "image": image}
        if self.scores is not None:
            item["scores"] = torch.zeros(len(self.answers))
            for answer, right in self.scores[index]:
                item["scores"][answer] = right
        if self.boxes is not None:
            boxes = [shares(box, size) for box in self.boxes[index]]
            item["number"] = index
            item["boxes"] = torch.tensor(boxes).reshape(-1, 4)
        return item

    def _read(self, image: int) -> tuple[dict[str, Tensor], tuple[int, int]]:
        """Return what an image shows, and height and width of its file.

        The latest is kept: questions about an image come together.
        """
        if self._latest is None or self._latest[0] != image:
            path = self.paths[image]
            pixels, size = read_image(self.root / path, self.size)
            shown = {"inputs": pixels}
            if self.cells is not None:
                named = in_cells(self.objects[path], self.attributes, size, self.cells)
                shown["named"] = torch.from_numpy(named)
            self._latest = (image, shown, size)
        return self._latest[1:]


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


def _scores(question: Question, known: Mapping[str, int]) -> Sequence[tuple[int, float]]:
    """Return the known answers that are right, by number, and how right each is."""
    given = set(question.answers)
    if len(question.answers) > 1:
        given |= {made(answer) for answer in given for made in (stripped, normalised)}
    found = [
        (known[each], score(each, question.answers)) for each in sorted(given) if each in known
    ]
    return [(answer, right) for answer, right in found if right]


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
