"""Which boxes of an image a trained model takes for what the phrases of a sentence name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from plugins.contracts.job import Job
from plugins.openmmlab.look import trained_model
from plugins.question_answering.boxes import as_shares
from plugins.question_answering.data.candidates import candidates, windows
from plugins.question_answering.data.objects import BOX, cells_within, read_objects
from plugins.question_answering.data.rows import Phrase
from plugins.question_answering.grounding.config import runner_config, words_of
from plugins.question_answering.grounding.reading import read
from plugins.question_answering.reading import read_image_of_user

__all__ = ["look", "marked"]

MARKED = re.compile(r"\[([^\[\]]+)\]")


def look(job: Job, image: Path, sentence: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return the best box for each phrase of a sentence, and how all boxes are scored.

    Parameters
    ----------
    job: Job
        The run; the weights are those of its newest whole checkpoint.
    image: Path
        Any image file. Of one of the run's data set the boxes are those of training or evaluation,
        of another one they cover it evenly.
    sentence: str
        Its phrases are in brackets, as in ``[the six] left of [the two]``; without any it is one.

    Returns
    -------
    dict of numpy.ndarray
        ``image`` (H, W, 3), as the network sees it; ``question``, the sentence; and for each phrase
        ``boxes/crop N PHRASE``, the corners (4, 2) of its best box as shares of the image, and
        ``boxes/N PHRASE``, for each cell the probability of the best box that it is in (rows,
        columns), 0 where no box is.

    Raises
    ------
    ValueError
        If there is no checkpoint, no readable image, or the run sees no images.
    """
    recipe = job.recipe
    if recipe.takes_features:
        raise ValueError("the run knows features of boxes alone, and cannot look at an image file")
    phrases = marked(sentence)
    model = trained_model(job, Config(runner_config(job)))
    pixels, size = read_image_of_user(image, recipe.image_size)
    boxes = _boxes(job, image, size)
    places = as_shares(boxes, size)
    item: dict[str, Any] = {"inputs": pixels, "places": places, "image": 0}
    item |= read(phrases, words_of(job), recipe.question_length)
    batch = model.data_preprocessor({name: [value] for name, value in item.items()})
    with torch.no_grad():
        shares = model(**batch).sigmoid().numpy()
    arrays = {
        "image": np.ascontiguousarray(pixels.numpy()[::-1].transpose(1, 2, 0)),
        "question": np.array(sentence),
    }
    inside = np.stack([cells_within([place], recipe.cells) for place in places.tolist()])
    for number, (phrase, found) in enumerate(zip(phrases, shares, strict=True), 1):
        named = f"{number} {phrase.phrase.replace('/', ' ')}"
        best = places[int(found.argmax())].numpy()
        arrays[f"boxes/crop {named}"] = best[[[0, 1], [2, 1], [2, 3], [0, 3]]]
        arrays[f"boxes/{named}"] = (inside * found[:, None, None]).max(0)
    return arrays


def marked(sentence: str) -> list[Phrase]:
    """Return the phrases of a sentence that are in brackets; all of it if none is."""
    plain = MARKED.sub(lambda match: match[1], sentence)
    if "[" in plain or "]" in plain:
        raise ValueError(
            f"a bracket has no partner: {sentence!r}; write [the six] left of [the two]"
        )
    found = []
    for match in MARKED.finditer(sentence):
        before = MARKED.sub(lambda each: each[1], sentence[: match.start()])
        found.append(Phrase("", match[1], (), (), plain, len(before.split())))
    return found or [Phrase("", plain, (), ())]


def _boxes(job: Job, image: Path, size: tuple[int, int]) -> np.ndarray:
    for split in ("train", "val", "test"):
        if (job.data / "objects" / f"{split}.jsonl").is_file():
            for path, objects in read_objects(job.data, split).items():
                if objects and (job.data / path).resolve() == image.resolve():
                    boxes = [each[BOX] for each in objects]
                    return candidates(boxes, size, job.recipe.boxes, path)
    return windows(size)
