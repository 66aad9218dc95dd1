"""The network: cells of an image, words of a question, what meets where, and an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from plugins.attention.core.site import Place
from plugins.attention.core.standing import build, parts_at
from plugins.attention.core.word import Word
from plugins.attention.kernels.shared import by_row
from plugins.attention.pairs.masks import last, without
from plugins.question_answering.data.words import PADDING
from plugins.question_answering.meeting import arguments, meet, own
from plugins.question_answering.network import ReadsAndSees
from plugins.question_answering.sites import pair
from plugins.question_answering.visual import cells_of, with_corners

__all__ = ["Answering"]

EVERY = 2**31
"""More cells than any image has."""


class Pooling(nn.Module):
    """The mean or sum of the cells, and the question: ``soft`` with equal weights."""

    shares_memory = True

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
        memory_rows: Tensor | None = None,
    ) -> Tensor:
        """Return (N, C) for words (N, T, C) and cells (N, S, key_channels).

        With `memory_rows` (N,) the latter are (M, S, key_channels), and these say which are whose.
        """
        cells = without(by_row(self.embed(memory).tanh(), memory_rows), key_padding_mask)
        if self.pooling == "sum":
            pooled = cells.sum(dim=1)
        elif key_padding_mask is None:
            pooled = cells.mean(dim=1)
        else:
            pooled = cells.sum(dim=1) / (~key_padding_mask).sum(dim=1, keepdim=True)
        return last(query, query_padding_mask) + pooled


@MODELS.register_module()
class Answering(ReadsAndSees):
    """Answers questions about images.

    Parameters
    ----------
    channels, heads: int
        Those of the recipe.
    sees: bool
        Whether anything is seen of an image.
    cell_channels: int
        Features of a cell, with its place if it is told that.
    word: str
        The mechanism where words and cells meet.
    pooling: str
        What pools cells if none does.
    answers, answer_layers, dropout
        Known answers, features of the hidden layers before them, and the share that is dropped
        before each.
    loss: str
        That of the recipe.
    all_cells_epochs: int
        That of the recipe.
    **common
        Of `ReadsAndSees`.
    """

    def __init__(
        self,
        *,
        channels: int,
        heads: int,
        sees: bool,
        cell_channels: int,
        word: str,
        pooling: str,
        answers: int,
        answer_layers: Sequence[int],
        dropout: float,
        loss: str,
        all_cells_epochs: int,
        **common: Any,
    ) -> None:
        super().__init__(channels=channels, **common)
        self.sees = sees
        site = pair(channels, cell_channels, heads)
        parts = parts_at(Word.parse(word), site) if sees else {}
        stand = {place: build(part, site.at(place)) for place, part in parts.items()}
        self.attention = stand.get(Place.ATTENTION)
        self.pool = stand.get(Place.POOL)
        if sees and not stand:
            self.pool = Pooling(channels, cell_channels, pooling)
        hidden: list[nn.Module] = []
        for before, width in pairwise((channels, *answer_layers)):
            hidden += (nn.Dropout(dropout), nn.Linear(before, width), nn.ReLU())
        width = (channels, *answer_layers)[-1]
        self.answers = nn.Sequential(*hidden, nn.Dropout(dropout), nn.Linear(width, answers))
        self.loss_of, self.all_cells_epochs = loss, all_cells_epochs

    def forward(
        self,
        inputs: Tensor,
        words: Tensor,
        of_image: Tensor,
        mode: str = "tensor",
        places: Tensor | None = None,
        absent: Tensor | None = None,
        **known: Any,
    ) -> Any:
        """Return logits, losses (``loss``), or what was found of each question (``predict``).

        Parameters
        ----------
        inputs: Tensor
            Images, (images, 3, H, W), or features of boxes, (images, S, map_channels).
        words: Tensor
            (questions, T), by number.
        of_image: Tensor
            (questions,), the number of each one's image.
        mode: str
            What to return.
        places, absent: Tensor, optional
            Boxes (images, S, 4), left, top, right and bottom as shares of the image; those that are
            none (images, S).
        **known
            For a loss ``scores`` (questions, answers) and, in the visual epochs, ``named``. For a
            prediction lists: ``number``, ``boxes``.
        """
        if mode == "loss":
            return self.loss(inputs, words, of_image, places=places, absent=absent, **known)
        read = self.read(inputs, words, of_image, places, absent)
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
        places: Tensor | None = None,
        absent: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the mean loss of the questions, or of what is in the cells of their images."""
        if self.learns_names():
            assert named is not None
            return self.loss_of_names(inputs, named, of_image)
        with self._all_cells():
            logits = self.answers(self.meet(*self.read(inputs, words, of_image, places, absent)))
        if self.loss_of == "soft_scores":
            each = F.binary_cross_entropy_with_logits(logits, scores, reduction="none")
            return {"loss_task": each.sum(1).mean()}
        # Questions whose answers are not known teach nothing, but count, so that several processes
        # have means over equally many.
        best, answer = scores.max(1)
        each = F.cross_entropy(logits, answer, reduction="none")
        return {"loss_task": (each * (best > 0)).mean()}

    def read(
        self,
        inputs: Tensor,
        words: Tensor,
        of_image: Tensor,
        places: Tensor | None = None,
        absent: Tensor | None = None,
    ) -> tuple[Any, Any, Any, Any, Any]:
        """Return what `meet` and the others take.

        Returns
        -------
        states: Tensor
            Of words, (N, T, C).
        padding: Tensor
            (N, T), true where there is no word.
        cells: Tensor, optional
            Of each image, (images, S, features); None if nothing is seen, as what follows.
        absent: Tensor, optional
            (N, S), true where a question's image has no such cell; None if all count.
        of_image: Tensor, optional
            (N,), the number of each question's image.
        """
        states = self.states_of(words)
        if not self.sees:
            return states, words == PADDING, None, None, None
        hidden = None if absent is None else absent[of_image]
        return states, words == PADDING, self._cells(inputs, places), hidden, of_image

    def _cells(self, inputs: Tensor, places: Tensor | None) -> Tensor:
        if places is not None:
            return with_corners(inputs, places) if self.coordinates else inputs
        return cells_of(self.map_of(inputs), self.coordinates)

    def meet(
        self,
        states: Tensor,
        padding: Tensor,
        cells: Tensor | None,
        absent: Tensor | None = None,
        of_image: Tensor | None = None,
    ) -> Tensor:
        """Return what is made of words and cells, (N, C), as `read` gives them."""
        states, hidden = self.ask(states, padding)
        states = self.attend(states, cells, absent, of_image)
        if self.pool is None:
            return states[:, 0]
        assert cells is not None
        return meet(self.pool, states, cells, absent, of_image, query_padding_mask=hidden)

    def ask(self, states: Tensor, padding: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the words; if none but the last is read, this one, (N, 1, C), and no padding."""
        return (last(states, padding)[:, None], None) if self.pool is None else (states, padding)

    def attend(
        self, states: Tensor, cells: Tensor | None, absent: Tensor | None, of_image: Tensor | None
    ) -> Tensor:
        """Return words that have attended to the cells, if they do."""
        if self.attention is None:
            return states
        assert cells is not None
        return states + meet(self.attention, states, cells, absent, of_image)

    def by_first_glimpses(
        self,
        states: Tensor,
        padding: Tensor,
        cells: Tensor | None,
        absent: Tensor | None = None,
        of_image: Tensor | None = None,
    ) -> list[Tensor]:
        """Return what the first glimpse makes, the first two, ... and all but the last."""
        glimpses = getattr(self.pool, "glimpses", ())
        if len(glimpses) < 2:
            return []
        pool: Any = self.pool
        assert cells is not None
        states = self.attend(states, cells, absent, of_image)
        memory, rows = own(pool, cells, of_image)
        numbers = range(1, len(glimpses))
        met: list[Tensor] = pool.by_first(states, memory, absent, padding, numbers, rows)
        return met

    def looked(
        self,
        states: Tensor,
        padding: Tensor,
        cells: Tensor | None,
        absent: Tensor | None = None,
        of_image: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return how the mechanism weighs the cells, as far as it does.

        ``weights`` are (N, heads or glimpses, T, S), each 1 in sum: of pairs of a word and a cell,
        or, with T = 1, of cells. ``words`` (N, T) are those of words. ``mask`` (N, S) are the cells
        that are kept, ``macs_kept`` (N,) what the mechanism costs if it multiplies these alone, and
        ``presence`` (N, S) is what decides.
        """
        states, asked = self.ask(states, padding)
        module: Any = self.pool
        if module is None:
            module = self.attention
        else:
            states = self.attend(states, cells, absent, of_image)
        if not hasattr(module, "mechanism"):
            return {}
        assert cells is not None
        given = arguments(module, states, cells, absent, asked, of_image)
        seen = module.mechanism.weights(module, *given)
        names = ("weights", "words", "mask", "presence")
        found = {name: seen[name].expand(len(states), *seen[name].shape[1:])
                 for name in names if name in seen}  # fmt: skip
        if "mask" in found and hasattr(module.mechanism, "cost_of_kept"):
            kept = found["mask"].sum(1).int().tolist()
            keys = [found["mask"].shape[1]] * len(kept)
            if absent is not None:
                keys = (~absent).sum(1).tolist()
            site = replace(module.site, queries=states.shape[1])
            costs = [
                module.mechanism.cost_of_kept(replace(site, keys=there), number)
                for there, number in zip(keys, kept, strict=True)
            ]
            found["macs_kept"] = torch.tensor([cost.macs for cost in costs])
        return found

    @contextmanager
    def _all_cells(self) -> Iterator[None]:
        """Let hard attention keep all cells in the first epochs on questions."""
        first = self.visual_epochs
        if not (
            hasattr(self.pool, "cells") and self.in_epochs(first, first + self.all_cells_epochs)
        ):
            yield
            return
        hard: Any = self.pool
        selected, hard.cells = hard.cells, EVERY
        try:
            yield
        finally:
            hard.cells = selected
