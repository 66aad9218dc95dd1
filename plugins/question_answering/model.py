"""The network: cells of an image, words of a question, what meets where, and an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
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
        Known answers, features of the hidden layers before them, and the share that is dropped
        before each.
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
        answer_layers: Sequence[int],
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
        self.pool = stand.get(Place.POOL)
        if self.sees and not stand:
            self.pool = Pooling(channels, map_channels + 2 * coordinates, pooling)
        hidden: list[nn.Module] = []
        for before, width in pairwise((channels, *answer_layers)):
            hidden += (nn.Dropout(dropout), nn.Linear(before, width), nn.ReLU())
        width = (channels, *answer_layers)[-1]
        self.answers = nn.Sequential(*hidden, nn.Dropout(dropout), nn.Linear(width, answers))
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
        read = self.read(inputs, words, of_image)
        logits: Tensor = self.answers(self.meet(*read))
        if mode == "tensor":
            return logits
        assert mode == "predict", mode
        found = {"predicted": logits.argmax(1), **self.looked(*read)}
        if firsts := self.by_first_glimpses(*read):
            found["by_first"] = torch.stack([self.answers(met).argmax(1) for met in firsts], 1)
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
            logits = self.answers(self.meet(*self.read(inputs, words, of_image)))
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
        states, hidden = self.ask(states, padding)
        states = self.attend(states, cells)
        if self.pool is None:
            return states[:, 0]
        met: Tensor = self.pool(states, cells, key_padding_mask=None, query_padding_mask=hidden)
        return met

    def ask(self, states: Tensor, padding: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the words; if none but the last is read, this one, (N, 1, C), and no padding."""
        return (last(states, padding)[:, None], None) if self.pool is None else (states, padding)

    def attend(self, states: Tensor, cells: Tensor | None) -> Tensor:
        """Return words that have attended to the cells, if they do."""
        if self.attention is None:
            return states
        attended: Tensor = states + self.attention(states, cells, key_padding_mask=None)
        return attended

    def by_first_glimpses(
        self, states: Tensor, padding: Tensor, cells: Tensor | None
    ) -> list[Tensor]:
        """Return what the first glimpse makes, the first two, ... and all but the last."""
        glimpses = getattr(self.pool, "glimpses", ())
        if len(glimpses) < 2:
            return []
        pool: Any = self.pool
        met: list[Tensor] = pool.by_first(
            self.attend(states, cells), cells, None, padding, range(1, len(glimpses))
        )
        return met

    def looked(self, states: Tensor, padding: Tensor, cells: Tensor | None) -> dict[str, Tensor]:
        """Return how the mechanism weighs the cells, as far as it does.

        ``weights`` are (N, heads or glimpses, T, S), each 1 in sum: of pairs of a word and a cell,
        or, with T = 1, of cells. ``words`` (N, T) are those of words. ``mask`` (N, S) are the cells
        that are kept, ``macs_kept`` (N,) what the mechanism costs if it multiplies these alone, and
        ``presence`` (N, S) is what decides.
        """
        states, asked = self.ask(states, padding)
        module: Any = self.pool
        given: tuple[Any, ...] = (self.attend(states, cells), cells, None, asked)
        if module is None:
            module, given = self.attention, (states, cells, None)
        if not hasattr(module, "mechanism"):
            return {}
        seen = module.mechanism.weights(module, *given)
        names = ("weights", "words", "mask", "presence")
        found = {name: seen[name].expand(len(states), *seen[name].shape[1:])
                 for name in names if name in seen}  # fmt: skip
        if "mask" in found and hasattr(module.mechanism, "cost_of_kept"):
            keys = found["mask"].shape[1]
            site = replace(module.site, queries=states.shape[1], keys=keys)
            costs = [module.mechanism.cost_of_kept(site, int(n)) for n in found["mask"].sum(1)]
            found["macs_kept"] = torch.tensor([cost.macs for cost in costs])
        return found

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
