"""What networks have in common that read words and see images, whatever they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from plugins.attention.core.energy import exactly
from plugins.question_answering.data.words import PADDING
from plugins.question_answering.visual import Names

__all__ = ["ReadsAndSees"]

ENCODERS = {"gru": nn.GRU, "lstm": nn.LSTM}


class ReadsAndSees(BaseModel):
    """A reader of words, and a visual network that first learns to name what is in each cell.

    Parameters
    ----------
    data_preprocessor: dict
        Config of what stacks a batch.
    backbone: dict
        Config of what makes maps of images; empty: what comes in are features of boxes.
    map_channels, coordinates
        Channels of the last map, or of a box; and whether cells or boxes are told where they are.
    words, word_channels, encoder
        How many words there are, features of a word, and what reads them.
    channels: int
        Features of a state.
    attributes: dict of str to int
        Names that each attribute of an object has.
    epochs, visual_epochs: int
        Those of the recipe.
    frozen: bool
        Whether words teach the backbone nothing.
    """

    find_unused_parameters = True
    """Of several processes: objects and words teach different parameters."""

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
        attributes: Mapping[str, int],
        epochs: int,
        visual_epochs: int,
        frozen: bool,
    ) -> None:
        super().__init__(data_preprocessor)
        self.has_backbone = bool(backbone)
        self.frozen = frozen and self.has_backbone
        self.backbone = MODELS.build(backbone) if backbone else nn.Identity()
        self.names = Names(map_channels, attributes)
        self.coordinates = coordinates
        self.embed = nn.Embedding(words, word_channels, padding_idx=PADDING)
        self.encoder = ENCODERS[encoder](word_channels, channels, batch_first=True)
        self.epochs, self.visual_epochs = epochs, visual_epochs

    def states_of(self, words: Tensor) -> Tensor:
        """Return the states (N, T, C) of words (N, T), in single precision."""
        with exactly(self.embed.weight):
            found: Tensor = self.encoder(self.embed(words))[0]
        return found

    def map_of(self, images: Tensor) -> Tensor:
        """Return the last map (images, map_channels, rows, columns) of images."""
        if self.frozen:
            self.backbone.eval()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            found: Tensor = self.backbone(images)[-1]
        return found

    def learns_names(self) -> bool:
        """Whether the training is at one of the visual epochs."""
        return self.in_epochs(0, self.visual_epochs)

    def loss_of_names(self, images: Tensor, named: Tensor, of_image: Tensor) -> dict[str, Tensor]:
        """Return the loss of what is in the cells of the images, see `Names.loss`."""
        return {"loss_task": self.names.loss(self.backbone(images)[-1], named, of_image)}

    def in_epochs(self, first: int, end: int) -> bool:
        """Whether the training is at one of the epochs from `first` to before `end`."""
        if self.training_steps is None:
            return False
        at = self.training_step * self.epochs
        return first * self.training_steps <= at < end * self.training_steps
