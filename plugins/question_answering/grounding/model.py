"""The network that grounds phrases: boxes of an image, words of a phrase, and a score of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from plugins.attention.core.energy import exactly
from plugins.attention.core.site import Place
from plugins.attention.core.standing import build
from plugins.attention.core.word import Word
from plugins.attention.kernels.maps.tiles import in_single
from plugins.question_answering.data.words import PADDING
from plugins.question_answering.grounding.planning import scoring
from plugins.question_answering.model import ENCODERS
from plugins.question_answering.reading import EachImageOnce
from plugins.question_answering.sites import pair
from plugins.question_answering.visual import Names, with_corners

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
        self, words: Tensor, boxes: Tensor, absent: Tensor | None, outside: Tensor
    ) -> Tensor:
        """Return (N, S) for words (N, T, C) and boxes (N, S, features), and which do not count."""
        module = self.weighing
        energies: Tensor = module.mechanism.energies(module, words, boxes, absent, outside)
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
class Grounding(BaseModel):
    """Scores the boxes of an image for each phrase.

    Kim et al. 2018, Bilinear Attention Networks, https://arxiv.org/abs/1805.07932, section 5.4; for
    ``bilinear`` as in train_flickr.py of the authors' code, without its dropout.

    Parameters
    ----------
    data_preprocessor: dict
        Config of `BoxesOfImages`.
    backbone: dict
        Config of what makes maps of images; empty: what comes in are features of boxes.
    map_channels, cell_channels, coordinates
        Features of a box, and these with its corners, if they are added.
    words, word_channels, encoder
        How many words there are, features of a word, and what reads them.
    channels, heads: int
        Those of the recipe.
    word: str
        The mechanism where words and boxes meet.
    attributes: dict of str to int
        Names that each attribute of an object has.
    epochs, visual_epochs: int
        Those of the recipe.
    frozen: bool
        Whether phrases teach the backbone nothing.
    """

    find_unused_parameters = True
    """Of several processes: objects and phrases teach different parameters."""

    training_step: int = 0
    training_steps: int | None = None

    def __init__(
        self,
        *,
        data_preprocessor: dict[str, Any],
        backbone: dict[str, Any],
        map_channels: int,
        cell_channels: int,
        coordinates: bool,
        words: int,
        word_channels: int,
        encoder: str,
        channels: int,
        heads: int,
        word: str,
        attributes: Mapping[str, int],
        epochs: int,
        visual_epochs: int,
        frozen: bool,
    ) -> None:
        super().__init__(data_preprocessor)
        self.sees, self.frozen = bool(backbone), frozen and bool(backbone)
        self.backbone = MODELS.build(backbone) if backbone else nn.Identity()
        self.names = Names(map_channels, attributes)
        self.coordinates = coordinates
        self.embed = nn.Embedding(words, word_channels, padding_idx=PADDING)
        self.encoder = ENCODERS[encoder](word_channels, channels, batch_first=True)
        site = pair(channels, cell_channels, heads)
        part, before = scoring(Word.parse(word), site)
        self.attention = None if before is None else build(before, site.at(Place.ATTENTION))
        self.scores = Scores(build(part, site.at(part.place(site) or Place.POOL)))
        self.epochs, self.visual_epochs = epochs, visual_epochs

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
        if mode == "loss" and self._learns_names():
            return {"loss_task": self.names.loss(self._map(inputs), known["named"], of_image)}
        image = of_image[of_sentence]
        boxes, absent = self.boxes(inputs, places)[image], absent[image]
        with exactly(boxes):
            states, _ = self.encoder(self.embed(words))
        if self.attention is not None:
            states = states + self.attention(states, boxes, key_padding_mask=absent)
        logits: Tensor = self.scores(states, boxes, absent, outside)
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
        found = within(self._map(inputs), places) if self.sees else inputs
        return with_corners(found, places) if self.coordinates else found

    def _map(self, images: Tensor) -> Tensor:
        frozen = self.frozen and not self._learns_names()
        if frozen:
            self.backbone.eval()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            features: Tensor = self.backbone(images)[-1]
        return features

    def _learns_names(self) -> bool:
        """Whether the training is at one of the visual epochs."""
        if self.training_steps is None or not self.training:
            return False
        return self.training_step * self.epochs < self.visual_epochs * self.training_steps
