"""Where a trained model looks to answer a question about an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from plugins.contracts.job import Job
from plugins.openmmlab.look import trained_model
from plugins.question_answering.boxes import FeaturesOfBoxes, as_shares
from plugins.question_answering.config import runner_config, words_of
from plugins.question_answering.data.objects import cells_within
from plugins.question_answering.data.words import numbers, words
from plugins.question_answering.grounding import look as of_phrases
from plugins.question_answering.reading import read_image_of_user

__all__ = ["look"]

SHOWN, SQUARES = (448, 448), (56, 56)
"""Pixels of an image that no network sees, and how finely boxes are laid over it."""


def look(job: Job, image: Path, question: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return how the mechanism weighs the cells for a question; or where phrases are.

    Parameters
    ----------
    job: Job
        The run; the weights are those of its newest whole checkpoint.
    image: Path
        Any image file.
    question: str
        About it. If the run reads features of boxes, its data set must have those of this image.

    Returns
    -------
    dict of numpy.ndarray
        ``image`` (H, W, 3), as the network sees it; ``question``, and the answer beside it;
        ``words`` (T,), those of the question that are read; and ``pool/weights`` (heads, rows,
        columns), or (heads, T, rows, columns) of pairs, ``pool/words`` (T,), ``pool/mask`` and
        ``pool/presence`` (rows, columns), as `Answering.looked` has them. A box shares its weight
        among the squares of the image that are in it; of several boxes on one the largest presence
        is told.

    Raises
    ------
    ValueError
        If there is no checkpoint, no readable image, or nothing to look at.
    """
    recipe = job.recipe
    if recipe.goal == "ground":
        return of_phrases.look(job, image, question)
    config = Config(runner_config(job))
    model = trained_model(job, config)
    of_features = recipe.takes_features
    pixels, size = read_image_of_user(image, SHOWN if of_features else recipe.image_size)
    item: dict[str, Any] = {"inputs": pixels, "image": 0}
    item["words"] = torch.tensor(numbers(question, words_of(job), recipe.question_length))
    if of_features:
        features = FeaturesOfBoxes(job.data, recipe.boxes, recipe.feature_channels)
        read, boxes = features.read(image.name)
        item |= read
    batch = model.data_preprocessor({name: [value] for name, value in item.items()})
    with torch.no_grad():
        (found,) = model(**batch, mode="predict")
    answer = config.val_dataloader.dataset.metainfo["classes"][int(found["predicted"])]
    arrays = {
        "image": np.ascontiguousarray(pixels.numpy()[::-1].transpose(1, 2, 0)),
        "question": np.array(f"{question} {answer}"),
        "words": np.array(words(question)[: recipe.question_length]),
    }
    for name in ("weights", "mask", "presence"):
        if name in found:
            seen = found[name]
            if of_features:
                seen = _over_boxes(seen, as_shares(boxes, size), name == "weights").numpy()
            else:
                seen = seen.unflatten(-1, recipe.cells).numpy()
            arrays[f"pool/{name}"] = seen[:, 0] if seen.ndim == 4 and len(seen[0]) == 1 else seen
    if "words" in found:
        arrays["pool/words"] = found["words"].numpy()
    if not any("/" in name for name in arrays):
        raise ValueError(f"{job.mechanism} has no weights of the cells to look at")
    return arrays


def _over_boxes(seen: Tensor, places: Tensor, shared: bool) -> Tensor:
    """Lay what is known of each box (..., S) over the squares of an image, (..., rows, columns).

    A box shares it among the squares in it; or each square has the most of its boxes.
    """
    inside = [torch.from_numpy(cells_within([place], SQUARES)) for place in places.tolist()]
    masks = torch.stack(inside).to(seen.dtype)
    if shared:
        return torch.tensordot(seen, masks / masks.sum((1, 2), keepdim=True), 1)
    return (seen[..., None, None] * masks).amax(-3)
