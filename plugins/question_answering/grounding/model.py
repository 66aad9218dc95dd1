"""The network that grounds phrases: boxes of an image, words of a phrase, and a score of each."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from plugins.attention.core.site import Place
from plugins.attention.core.standing import build
from plugins.attention.core.word import Word
from plugins.attention.kernels.maps.tiles import in_single
from plugins.question_answering.data.words import PADDING
from plugins.question_answering.grounding.planning import scoring
from plugins.question_answering.meeting import arguments, meet
from plugins.question_answering.network import ReadsAndSees
from plugins.question_answering.reading import EachImageOnce
from plugins.question_answering.sites import pair
from plugins.question_answering.visual import with_corners

__all__ = ["BoxesOfImages", "Grounding", "Scores", "within"]


@MODELS.register_module()
class BoxesOfImages(EachImageOnce):
    """Stacks the phrases of a batch of sentences, and each image with its boxes once."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return what `Grounding.forward` takes."""
        words = torch.cat(list(data["words"]))
        longest = int((words != PADDING).sum(1).max())
        counts = torch.tensor([len(each) for each in data["words"]])
        batch = {
            **self.seen(data, training),
            "words": words[:, :longest],
            "outside": torch.cat(list(data["outside"]))[:, :longest],
            "of_sentence": torch.arange(len(counts)).repeat_interleave(counts),
        }
        if "right" in data:
            most = batch["places"].shape[1]
            right = [F.pad(each, (0, most - each.shape[1])) for each in data["right"]]
            batch["right"] = torch.cat(right)
        kept = {name: data[name] for name in ("boxes", "number") if name in data}
        return {**self.cast_data(batch), **kept}


class Scores(nn.Module):
    """Scores each box for the last word of a phrase: a mechanism's energies, and one number more.

    A softmax would not see that number, but whether a box is meant or not does not depend on the
    others here. Of the mechanism's module only what makes energies is kept.
    """

    is_mechanism = True

    def __init__(self, module: Any) -> None:
        super().__init__()
        for name in module.mechanism.of_values:
            delattr(module, name)
        self.weighing = module
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(
        self,
        words: Tensor,
        boxes: Tensor,
        absent: Tensor | None,
        outside: Tensor,
        of_image: Tensor,
    ) -> Tensor:
        """Return (N, S) for words (N, T, C), boxes (images, S, features) and each one's image.

        `absent` (N, S) and `outside` (N, T) say which do not count.
        """
        module = self.weighing
        given = arguments(module, words, boxes, absent, outside, of_image)
        energies: Tensor = module.mechanism.energies(module, *given)
        return in_single(energies) + self.bias


def within(features: Tensor, places: Tensor) -> Tensor:
    """Return the mean of a map over each box, (N, S, C) of (N, C, H, W).

    Each position counts by the share of it that is in the box. Boxes (N, S, 4) are left, top, right
    and bottom as shares of the map; one without an area has zeros.
    """
    left, top, right, bottom = places.unsqueeze(-1).unbind(2)
    spans = []
    for first, end, number in (
        (top, bottom, features.shape[2]),
        (left, right, features.shape[3]),
    ):
        start = torch.arange(number, dtype=places.dtype, device=places.device)
        spans.append(torch.minimum(end * number, start + 1) - (first * number).maximum(start))
    rows, columns = (span.clamp(min=0) for span in spans)
    shares = (rows[..., None] * columns[..., None, :]).flatten(2)
    shares = shares / shares.sum(-1, keepdim=True).clamp(min=torch.finfo(shares.dtype).eps)
    return shares.to(features.dtype) @ features.flatten(2).mT


@MODELS.register_module()
class Grounding(ReadsAndSees):
    """Scores the boxes of an image for each phrase.

    Kim et al. 2018, Bilinear Attention Networks, https://arxiv.org/abs/1805.07932, section 5.4; for
    ``bilinear:dropout=true`` after train_flickr.py of the authors' code.

    Parameters
    ----------
    channels, heads: int
        Those of the recipe.
    cell_channels: int
        Features of a box, with its corners if it is told them.
    word: str
        The mechanism where words and boxes meet.
    **common
        Of `ReadsAndSees`.
    """

    def __init__(
        self, *, channels: int, heads: int, cell_channels: int, word: str, **common: Any
    ) -> None:
        super().__init__(channels=channels, **common)
        site = pair(channels, cell_channels, heads)
        part, before = scoring(Word.parse(word), site)
        self.attention = None if before is None else build(before, site.at(Place.ATTENTION))
        self.scores = Scores(build(part, site.at(part.place(site) or Place.POOL)))

    def forward(
        self,
        inputs: Tensor,
        places: Tensor,
        absent: Tensor,
        words: Tensor,
        outside: Tensor,
        of_image: Tensor,
        of_sentence: Tensor,
        mode: str = "tensor",
        **known: Any,
    ) -> Any:
        """Return logits, losses (``loss``), or what is known of each sentence (``predict``).

        Parameters
        ----------
        inputs: Tensor
            Images, (images, 3, H, W), or features (images, S, map_channels).
        places, absent: Tensor
            Boxes (images, S, 4), left, top, right and bottom as shares of the image; those that are
            none (images, S).
        words, outside: Tensor
            (phrases, T), by number, the last one that is no padding being the phrase's; and which
            are not of the phrase.
        of_image, of_sentence: Tensor
            (sentences,), the number of each one's image; (phrases,), that of its sentence.
        mode: str
            What to return.
        **known
            For a loss ``right`` (phrases, S), 1 for the boxes that a phrase names, and, in the
            visual epochs, ``named``. For a prediction lists: ``number``, ``boxes``.

        Returns
        -------
        Tensor or dict or list of dict
            Logits are (phrases, S). A prediction has for each sentence also ``scores``, (phrases,
            boxes of its image).
        """
        if mode == "loss" and self.learns_names():
            return self.loss_of_names(inputs, known["named"], of_image)
        image = of_image[of_sentence]
        boxes, absent = self.boxes(inputs, places), absent[image]
        states = self.states_of(words)
        if self.attention is not None:
            states = states + meet(self.attention, states, boxes, absent, image)
        logits: Tensor = self.scores(states, boxes, absent, outside, image)
        if mode == "tensor":
            return logits
        if mode == "loss":
            each = F.binary_cross_entropy_with_logits(
                logits, known["right"], weight=(~absent).float(), reduction="sum"
            )
            return {"loss_task": each / len(of_image)}
        assert mode == "predict", mode
        scored = logits.cpu().split(of_sentence.bincount().tolist())
        return [
            {"scores": each[:, : len(there)], "boxes": there, "number": number}
            for each, there, number in zip(scored, known["boxes"], known["number"], strict=True)
        ]

    def boxes(self, inputs: Tensor, places: Tensor) -> Tensor:
        """Return the features of boxes, (images, S, features)."""
        found = within(self.map_of(inputs), places) if self.has_backbone else inputs
        return with_corners(found, places) if self.coordinates else found
