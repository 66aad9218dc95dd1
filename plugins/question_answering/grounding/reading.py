"""Sentences with their images and boxes, as training and evaluation see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from plugins.contracts.dataset import PrepareError
from plugins.question_answering.boxes import FeaturesOfBoxes, as_shares
from plugins.question_answering.data.candidates import candidates
from plugins.question_answering.data.layout import read_phrases
from plugins.question_answering.data.objects import BOX, attributes, in_cells, read_objects
from plugins.question_answering.data.rows import Box, Phrase
from plugins.question_answering.data.sentences import (
    known_words_of_phrases,
    numbers_of_phrase,
    sentences,
)
from plugins.question_answering.metrics.grounding import Grounded, hits
from plugins.question_answering.reading import read_image

__all__ = ["Spoken", "corners", "read"]


@DATASETS.register_module()
class Spoken(Dataset):
    """The sentences of a split, one an item, with all their phrases.

    Parameters
    ----------
    data_root: str
        Folder of the prepared set.
    split: str
        ``train``, whose items have ``right``, or another one, whose items have ``number`` (of the
        phrases) and ``boxes`` (in pixels).
    metainfo: dict
        ``classes``: none.
    boxes: int
        How many of an image there are to choose from, or of features at most.
    length: int
        Words that are read; the last ones if there are more.
    size: (int, int), optional
        Height and width to which images are scaled; None: the data set has features of boxes.
    channels: int, optional
        Of these.
    images, training_images: int, optional
        Only the phrases of the first so many images, in `split` and for the words of train.
    cells: (int, int), optional
        Rows and columns in which objects are named, in ``named``.

    Attributes
    ----------
    image_numbers: numpy.ndarray
        (sentences,), equal for those of one image.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        metainfo: dict[str, Any],
        boxes: int,
        length: int,
        size: tuple[int, int] | None = None,
        channels: int | None = None,
        images: int | None = None,
        training_images: int | None = None,
        cells: tuple[int, int] | None = None,
    ) -> None:
        self.root, self.trains = Path(data_root), split == "train"
        self.metainfo = {"classes": tuple(metainfo["classes"])}
        self.phrases = read_phrases(self.root, split, images)
        self.sentences = sentences(self.phrases)
        paths = [self.phrases[numbers[0]].image for numbers in self.sentences]
        self.paths = list(dict.fromkeys(paths))
        number = {path: index for index, path in enumerate(self.paths)}
        self.image_numbers = np.array([number[path] for path in paths])
        self.known, self.length = known_words_of_phrases(self.root, training_images), length
        self.size, self.number, self.cells = size, boxes, cells
        if size is None:
            assert channels is not None
            self.features = FeaturesOfBoxes(self.root, boxes, channels)
        else:
            self.objects = read_objects(self.root, split)
            if lacking := [path for path in self.paths if not self.objects.get(path)]:
                raise PrepareError(f"{self.root / 'objects' / split}.jsonl lacks {lacking[0]}")
            self.attributes = attributes(self.objects) if cells else {}
        self._latest: tuple[int, dict[str, Tensor], np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, numbers = int(self.image_numbers[index]), self.sentences[index]
        shown, boxes = self._read(image)
        phrases = [self.phrases[number] for number in numbers]
        item = {**shown, **read(phrases, self.known, self.length), "image": image}
        if self.trains:
            right = [hits(Grounded(boxes, corners(phrase.boxes))) for phrase in phrases]
            item["right"] = torch.from_numpy(np.stack(right)).float()
        else:
            item |= {"number": torch.tensor(numbers), "boxes": torch.from_numpy(boxes)}
        return item

    def _read(self, image: int) -> tuple[dict[str, Tensor], np.ndarray]:
        """Return what an image shows, and its boxes in pixels.

        The latest is kept: sentences about an image come together.
        """
        if self._latest is None or self._latest[0] != image:
            path = self.paths[image]
            found = self.features.read(path) if self.size is None else self._image(path, self.size)
            self._latest = (image, *found)
        return self._latest[1:]

    def _image(self, path: str, scaled: tuple[int, int]) -> tuple[dict[str, Tensor], np.ndarray]:
        pixels, size = read_image(self.root / path, scaled)
        there = self.objects[path]
        boxes = candidates([each[BOX] for each in there], size, self.number, path)
        shown = {"inputs": pixels, "places": as_shares(boxes, size)}
        if self.cells is not None:
            named = in_cells(there, self.attributes, size, self.cells)
            shown["named"] = torch.from_numpy(named)
        return shown, boxes


def read(phrases: list[Phrase], known: dict[str, int], length: int) -> dict[str, Tensor]:
    """Return ``words`` and ``outside`` of phrases, (phrases, length) each."""
    made = [numbers_of_phrase(phrase, known, length) for phrase in phrases]
    return {
        "words": torch.tensor([numbers for numbers, _ in made]),
        "outside": torch.tensor([outside for _, outside in made]),
    }


def corners(boxes: tuple[Box, ...]) -> np.ndarray:
    """Return left, top, right and bottom of boxes by left, top, width and height, (boxes, 4)."""
    found = np.array(boxes, float)
    found[:, 2:] += found[:, :2]
    return found
