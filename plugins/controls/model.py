"""The network of a control: a frozen stem, a convolution, a mechanism, a linear layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional

from plugins.attention.core.site import Convolution, Place
from plugins.attention.core.standing import build, parts_at
from plugins.attention.core.word import Word
from plugins.controls.scenes import NOTHING
from plugins.controls.sites import cells
from plugins.controls.stem import FEATURES

__all__ = ["ControlNetwork", "Stacked"]


@MODELS.register_module()
class Stacked(BaseDataPreprocessor):
    """Stacks the lists of a batch, and brings them to the device."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return the batch's tensors."""
        return {name: torch.stack(list(each)) for name, each in self.cast_data(data).items()}


@MODELS.register_module()
class ControlNetwork(BaseModel):
    """Answers each cell's question from the features of all cells.

    features -> fixed rotation to C channels -> 3x3 convolution without padding -> mechanism -> 1x1
    convolution. There is no ReLU: all is linear but the mechanism, so that nothing but a
    mechanism's weights can select. The convolution is the identity. It is there for deformable
    convolution to replace, which learns it.

    Parameters
    ----------
    outputs: int
        Answers.
    channels, heads, kv_stride: int
        Those of the recipe.
    word: str
        The mechanism.
    at_cells: bool
        Whether it stands there.
    """

    def __init__(
        self, outputs: int, channels: int, heads: int, kv_stride: int, word: str, at_cells: bool
    ) -> None:
        super().__init__(data_preprocessor={"type": "Stacked"})
        rotation = nn.init.orthogonal_(torch.empty(channels, FEATURES))
        self.register_buffer("rotation", rotation[..., None, None])
        site = cells(channels, heads, kv_stride)
        parts = parts_at(Word.parse(word), site) if at_cells else {}
        convolution = Convolution(in_channels=channels, out_channels=channels, padding=0)
        self.convolution: nn.Module = nn.Conv2d(channels, channels, 3, bias=False)
        self.block: nn.Module = nn.Identity()
        for place, part in parts.items():
            if place is Place.INSTEAD:
                self.convolution = build(part, replace(site.at(place), convolution=convolution))
            else:
                self.block = build(part, site.at(place))
        self.answers = nn.Conv2d(channels, outputs, 1)

    def init_weights(self) -> None:
        """Begin with a convolution that is the identity, and with an open gate.

        It stays the identity where no mechanism takes its place. Learning, it would tell a cell
        what is beside it, and E1 then finds cells by what both see: one that sees the answer, too.

        A control is about what attention can select, and while the factor gamma is 0 a mechanism
        does not learn. Whether it then opens in time was chance.
        """
        weight: Any = self.convolution.weight
        nn.init.dirac_(weight)
        weight.requires_grad_(hasattr(self.convolution, "mechanism"))
        if isinstance(gamma := getattr(self.block, "gamma", None), nn.Parameter):
            nn.init.ones_(gamma)

    def forward(
        self,
        inputs: Tensor,
        answers: Tensor | None = None,
        places: Tensor | None = None,
        mode: str = "tensor",
    ) -> Any:
        """Return losses, or logits (N, answers, CELLS, CELLS); see `BaseModel`.

        Parameters
        ----------
        inputs: Tensor
            The stem's features, (N, FEATURES, rows, columns).
        answers, places: Tensor
            (N, CELLS, CELLS).
        mode: str
            ``loss``, ``predict`` or ``tensor``.
        """
        attending = self.attending(inputs)
        logits: Tensor = self.answers(self.block(attending))
        if mode == "tensor":
            return logits
        assert answers is not None
        assert places is not None
        if mode == "loss":
            loss = functional.cross_entropy(logits, answers, ignore_index=NOTHING)
            return {"loss": loss}
        looked = self.looked(attending)
        found = {"logits": logits, "answers": answers, "places": places, **looked}
        return [{name: each[i] for name, each in found.items()} for i in range(len(logits))]

    def attending(self, inputs: Tensor) -> Tensor:
        """Return the map (N, C, CELLS, CELLS) that the mechanism is given."""
        convolved: Tensor = self.convolution(functional.conv2d(inputs, self.rotation))
        return convolved

    def looked(self, attending: Tensor) -> dict[str, Tensor]:
        """Return the weights (N, heads, queries, keys) of each cell for each, if there are any."""
        mechanism = getattr(self.block, "mechanism", None)
        if mechanism is None:
            return {}
        rows, columns = attending.shape[-2:]
        queries = [(row, column) for row in range(rows) for column in range(columns)]
        found = mechanism.weights(self.block, attending, queries=queries)
        weights = found.get("weights")
        if weights is None or weights.dim() != 5 or weights.shape[-2:] != (rows, columns):
            return {}
        return {"weights": weights.flatten(3)}
