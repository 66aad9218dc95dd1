"""The network: cells of an image, words of a question, what meets where, and an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import BaseModel, ImgDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from plugins.attention.core.energy import exactly
from plugins.attention.core.site import Place
from plugins.attention.core.standing import build, parts_at
from plugins.attention.core.word import Word
from plugins.attention.pairs.masks import last
from plugins.question_answering.data.words import PADDING
from plugins.question_answering.sites import pair
from plugins.question_answering.visual import Names, cells_of

__all__ = ["Answering", "EachImageOnce"]

ENCODERS = {"gru": nn.GRU, "lstm": nn.LSTM}

EVERY = 2**31
"""More cells than any image has."""


@MODELS.register_module()
class EachImageOnce(ImgDataPreprocessor):
    """Stacks a batch of questions, and each image once, however many ask about it."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return what `Answering.forward` takes."""
        place: dict[int, int] = {}
        of_image = [place.setdefault(image, len(place)) for image in data["image"]]
        first = [of_image.index(number) for number in range(len(place))]
        images = super().forward({"inputs": [data["inputs"][at] for at in first]}, training)
        words = torch.stack(list(data["words"]))
        longest = int((words != PADDING).sum(1).max())
        batch = {"words": words[:, :longest], "of_image": torch.tensor(of_image)}
        if "scores" in data:
            batch["scores"] = torch.stack(list(data["scores"]))
        if "named" in data:
            batch["named"] = torch.stack([data["named"][at] for at in first])
        kept = {name: data[name] for name in ("boxes", "number") if name in data}
        return {"inputs": images["inputs"], **self.cast_data(batch), **kept}


class Pooling(nn.Module):
    """The mean or sum of the cells, and the question: ``soft`` with equal weights."""

    def __init__(self, channels: int, key_channels: int, pooling: str) -> None:
        super().__init__()
        self.embed, self.pooling = nn.Linear(key_channels, channels), pooling

    def forward(
        self,
        query: Tensor,
        memory: Tensor,
        *,
        key_padding_mask: Tensor | None = None,
        query_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Return (N, C) for words (N, T, C) and cells (N, S, key_channels), all of which count."""
        cells = self.embed(memory).tanh()
        pooled = cells.mean(dim=1) if self.pooling == "mean" else cells.sum(dim=1)
        return last(query, query_padding_mask) + pooled


class LastWord(nn.Module):
    """The last word, for words that have attended to the cells, or where there are none."""

    def forward(self, query: Tensor, memory: Tensor | None, **masks: Tensor | None) -> Tensor:
        """Return (N, C) for words (N, T, C)."""
        return last(query, masks["query_padding_mask"])


@MODELS.register_module()
class Answering(BaseModel):
    """Answers questions about images.

    Parameters
    ----------
    data_preprocessor: dict
        Config of what normalises images.
    backbone: dict
        Config of what makes maps of them; empty: no image is seen.
    map_channels, coordinates
        Channels of the last map, and whether cells are told where they are.
    words, word_channels, encoder
        How many words there are, features of a word, and what reads them.
    channels, heads: int
        Those of the recipe.
    word: str
        The mechanism where words and cells meet.
    pooling: str
        What pools cells if none does.
    answers, answer_layers, dropout
        Known answers, hidden layers before them, and the share that is dropped before each.
    loss: str
        That of the recipe.
    attributes: dict of str to int
        Names that each attribute of an object has.
    epochs, visual_epochs, all_cells_epochs: int
        Those of the recipe.
    frozen: bool
        Whether questions teach the backbone nothing.
    """

    find_unused_parameters = True
    """Of several processes: objects and questions teach different parameters."""

    training_step: int = 0
    training_steps: int | None = None

    def __init__(
        self,
        *,
        data_preprocessor: dict[str, Any],
        backbone: dict[str, Any],
        map_channels: int,
        coordinates: bool,
        words: int,
        word_channels: int,
        encoder: str,
        channels: int,
        heads: int,
        word: str,
        pooling: str,
        answers: int,
        answer_layers: int,
        dropout: float,
        loss: str,
        attributes: Mapping[str, int],
        epochs: int,
        visual_epochs: int,
        all_cells_epochs: int,
        frozen: bool,
    ) -> None:
        super().__init__(data_preprocessor)
        self.sees, self.frozen = bool(backbone), frozen and bool(backbone)
        self.backbone = MODELS.build(backbone) if backbone else nn.Identity()
        self.names = Names(map_channels, attributes)
        self.coordinates = coordinates
        self.embed = nn.Embedding(words, word_channels, padding_idx=PADDING)
        self.encoder = ENCODERS[encoder](word_channels, channels, batch_first=True)
        site = pair(channels, map_channels + 2 * coordinates, heads)
        parts = parts_at(Word.parse(word), site) if self.sees else {}
        stand = {place: build(part, site.at(place)) for place, part in parts.items()}
        self.attention = stand.get(Place.ATTENTION)
        default: nn.Module = LastWord()
        if self.sees and self.attention is None:
            default = Pooling(channels, map_channels + 2 * coordinates, pooling)
        self.pool = stand.get(Place.POOL, default)
        hidden = [
            layer
            for _ in range(answer_layers)
            for layer in (nn.Dropout(dropout), nn.Linear(channels, channels), nn.ReLU())
        ]
        self.answers = nn.Sequential(*hidden, nn.Dropout(dropout), nn.Linear(channels, answers))
        self.loss_of, self.epochs = loss, epochs
        self.visual_epochs, self.all_cells_epochs = visual_epochs, all_cells_epochs

    def forward(
        self,
        inputs: Tensor,
        words: Tensor,
        of_image: Tensor,
        mode: str = "tensor",
        **known: Any,
    ) -> Any:
        """Return logits, losses (``loss``), or what was found of each question (``predict``).

        Parameters
        ----------
        inputs: Tensor
            Images, (images, 3, H, W).
        words: Tensor
            (questions, T), by number.
        of_image: Tensor
            (questions,), the number of each one's image.
        mode: str
            What to return.
        **known
            For a loss ``scores`` (questions, answers) and, in the visual epochs, ``named``. For a
            prediction lists: ``number``, ``boxes``.
        """
        if mode == "loss":
            return self.loss(inputs, words, of_image, **known)
        states, padding, cells = self.read(inputs, words, of_image)
        logits: Tensor = self.answers(self.meet(states, padding, cells))
        if mode == "tensor":
            return logits
        assert mode == "predict", mode
        found = {"predicted": logits.argmax(1), **self.looked(states, padding, cells)}
        lists = {name: list(each.float().cpu()) for name, each in found.items()} | known
        return [{name: each[i] for name, each in lists.items()} for i in range(len(words))]

    def loss(
        self,
        inputs: Tensor,
        words: Tensor,
        of_image: Tensor,
        scores: Tensor,
        named: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the mean loss of the questions, or of what is in the cells of their images."""
        if self._within(0, self.visual_epochs):
            assert named is not None
            return {"loss_task": self.names.loss(self.backbone(inputs)[-1], named, of_image)}
        with self._all_cells():
            states, padding, cells = self.read(inputs, words, of_image)
            logits = self.answers(self.meet(states, padding, cells))
        if self.loss_of == "soft_scores":
            each = F.binary_cross_entropy_with_logits(logits, scores, reduction="none")
            return {"loss_task": each.sum(1).mean()}
        # Questions whose answers are not known teach nothing, but count, so that several processes
        # have means over equally many.
        best, answer = scores.max(1)
        each = F.cross_entropy(logits, answer, reduction="none")
        return {"loss_task": (each * (best > 0)).mean()}

    def read(self, inputs: Tensor, words: Tensor, of_image: Tensor) -> tuple[Any, Any, Any]:
        """Return states (N, T, C), which of them are padding (N, T), and cells (N, S, features)."""
        with exactly(inputs):
            states, _ = self.encoder(self.embed(words))
        if not self.sees:
            return states, words == PADDING, None
        if self.frozen:
            self.backbone.eval()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.backbone(inputs)[-1]
        return states, words == PADDING, cells_of(features, self.coordinates)[of_image]

    def meet(self, states: Tensor, padding: Tensor, cells: Tensor | None) -> Tensor:
        """Return what is made of words and cells, (N, C)."""
        if self.attention is not None:
            states = states + self.attention(states, cells, key_padding_mask=None)
        met: Tensor = self.pool(states, cells, key_padding_mask=None, query_padding_mask=padding)
        return met

    def looked(self, states: Tensor, padding: Tensor, cells: Tensor | None) -> dict[str, Tensor]:
        """Return how the mechanism weighs the cells, as far as it does.

        ``weights`` are (N, heads or glimpses, S), over the words in sum if each pair of a word and
        a cell has a weight, of the last word if each word has its own. ``mask`` (N, S) are the
        cells that are kept, and ``presence`` (N, S) is what decides.
        """
        found: dict[str, Tensor] = {}
        if self.attention is not None:
            seen = self._weights(self.attention, states, cells, None)
            if (weights := seen.get("weights")) is not None:
                weights = weights.expand(len(states), -1, states.shape[1], -1)
                by_word = weights.transpose(1, 2).flatten(2)
                found["weights"] = last(by_word, padding).unflatten(1, (weights.shape[1], -1))
        if hasattr(self.pool, "mechanism"):
            if self.attention is not None:
                states = states + self.attention(states, cells, key_padding_mask=None)
            seen = self._weights(self.pool, states, cells, padding)
            if "weights" in seen:
                found["weights"] = seen["weights"].sum(2)
            found |= {name: seen[name] for name in ("mask", "presence") if name in seen}
        return found

    @staticmethod
    def _weights(
        module: Any, states: Tensor, cells: Tensor | None, padding: Tensor | None
    ) -> dict[str, Tensor]:
        given = (states, cells, None) if padding is None else (states, cells, None, padding)
        seen: dict[str, Tensor] = module.mechanism.weights(module, *given)
        return seen

    def _within(self, first: int, end: int) -> bool:
        """Whether the training is at one of the epochs from `first` to before `end`."""
        if self.training_steps is None:
            return False
        at = self.training_step * self.epochs
        return first * self.training_steps <= at < end * self.training_steps

    @contextmanager
    def _all_cells(self) -> Iterator[None]:
        """Let hard attention keep all cells in the first epochs on questions."""
        first = self.visual_epochs
        if not (hasattr(self.pool, "cells") and self._within(first, first + self.all_cells_epochs)):
            yield
            return
        hard: Any = self.pool
        selected, hard.cells = hard.cells, EVERY
        try:
            yield
        finally:
            hard.cells = selected
