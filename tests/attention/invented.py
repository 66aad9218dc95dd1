"""Mechanisms that are not of this package, and how to have them installed for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from typing import ClassVar, Literal
from unittest import mock

import torch
from pydantic import Field
from torch import nn

from plugins.attention.core import registry
from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism
from plugins.attention.core.sequence import SequenceModule
from plugins.attention.core.site import MapSite, PairSite, Place, SequenceSite

__all__ = ["Gate", "Leaning", "LeaningMap", "Mixed", "installed"]


@contextmanager
def installed(**kinds: type) -> Iterator[None]:
    """Have classes as mechanisms under the names of the arguments."""
    invented = sys.modules[__name__]
    entries = dict(registry._entries())
    for name, kind in kinds.items():
        setattr(invented, kind.__qualname__, kind)
        value = f"{__name__}:{kind.__qualname__}"
        entries[name] = EntryPoint(name, value, registry.ENTRY_POINTS)
    registry.mechanism_class.cache_clear()
    try:
        with mock.patch.object(registry, "_entries", return_value=entries):
            yield
    finally:
        registry.mechanism_class.cache_clear()


class MapGate(nn.Module):
    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.squeeze, self.excite = (
            nn.Linear(channels, channels // ratio),
            nn.Linear(channels // ratio, channels),
        )

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        return self.excite(self.squeeze(x.mean(dim=(2, 3))).relu()).sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)[..., None, None]


class SequenceGate(SequenceModule):
    """Gates a position by the mean of those before it and itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, query, memory=None, *, causal=False, key_padding_mask=None):
        seen = query if memory is None else memory
        real = torch.ones(seen.shape[:2]) if key_padding_mask is None else ~key_padding_mask
        real = real.to(seen.dtype).unsqueeze(-1)
        if causal:
            mean = (seen * real).cumsum(1) / real.cumsum(1).clamp(min=1)
        else:
            mean = (seen * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
        return query * self.linear(mean).sigmoid()


class Gate(Mechanism):
    """A channel gate, of maps and of sequences."""

    name = "gate"
    formula = "sigmoid(W x̄)"
    paper = "this test"
    url = "https://example.org"
    places = {MapSite: (Place.AFTER, Place.BACKBONE), SequenceSite: (Place.ATTENTION,)}  # noqa: RUF012

    ratio: int = Field(4, ge=1)
    dropout: float = Field(0, ge=0, le=1)
    open: bool = False
    pooling: Literal["mean", "max"] = "mean"

    def build(self, site):
        if isinstance(site, MapSite):
            return MapGate(site.channels, self.ratio)
        return SequenceGate(site.channels)

    def cost(self, site):
        channels = site.channels
        if isinstance(site, MapSite):
            hidden = channels // self.ratio
            weights = 2 * channels * hidden
            return ClosedForm((("2 C²/r", weights),), weights + hidden + channels)
        return ClosedForm((("N C²", site.queries * channels**2),), channels**2 + channels)

    def weights(self, module, *inputs, queries=()):
        return {"gate": module.gate(inputs[0])} if inputs[0].dim() == 4 else {}


class LeaningMap(nn.Module):
    """Adds nothing to a map; its own loss draws a number up."""

    seen: ClassVar[list[tuple[int, int | None]]] = []
    training_step = training_steps = None

    def __init__(self) -> None:
        super().__init__()
        self.lean = nn.Parameter(torch.zeros(()))

    def forward(self, x, memory=None, **_):
        if self.training:
            self.seen.append((self.training_step, self.training_steps))
        return x + 0 * self.lean

    def own_loss(self):
        return -self.lean


class LeaningSequence(LeaningMap, SequenceModule):
    """The same of a sequence."""


class Leaning(Mechanism):
    """Has a loss of its own, and knows the step."""

    name = "leaning"
    formula = "x"
    paper = "this test"
    url = "https://example.org"
    places = {MapSite: (Place.AFTER,), SequenceSite: (Place.ATTENTION,)}  # noqa: RUF012

    def build(self, site):
        return LeaningMap() if isinstance(site, MapSite) else LeaningSequence()

    def cost(self, site):
        return ClosedForm((), 1)


class Mixed(Mechanism):
    """Stands on the branch of maps, and between two sets."""

    name = "mixed"
    formula = "M x"
    paper = "this test"
    url = "https://example.org"
    places = {MapSite: (Place.BRANCH,), PairSite: (Place.ATTENTION,)}  # noqa: RUF012

    def build(self, site):
        return nn.Conv2d(site.channels, site.channels, 1)

    def cost(self, site):
        return ClosedForm()
