"""Gates as if they had learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from plugins.attention.core.site import Convolution, MapSite, Place
from plugins.attention.core.standing import build
from plugins.attention.core.word import Word

__all__ = ["CHANNELS", "made"]

CHANNELS = 6


def made(
    word: str, channels: int = CHANNELS, learned: bool = True, **convolution: Any
) -> nn.Module:
    """A gate after a convolution or instead of one, with weights as if it had learned."""
    torch.manual_seed(0)
    (part,) = Word.parse(word).parts
    replaced = Convolution(**{"in_channels": channels, "out_channels": channels, **convolution})
    site = MapSite(places=(Place.AFTER, Place.INSTEAD), channels=channels, convolution=replaced)
    place = part.place(site)
    assert place is not None
    module = build(part, site.at(place))
    if learned:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(std=0.5)
    return module
