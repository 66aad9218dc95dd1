"""Gates as if they had learned."""

from __future__ import annotations

import torch
from torch import nn

from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.standing import build
from plugins.attention.core.word import Word

__all__ = ["CHANNELS", "made"]

CHANNELS = 6


def made(word: str, channels: int = CHANNELS, learned: bool = True) -> nn.Module:
    """A gate at a site, with weights as if it had learned."""
    torch.manual_seed(0)
    (part,) = Word.parse(word).parts
    module = build(part, MapSite(channels=channels).at(Place.AFTER))
    if learned:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(std=0.5)
    return module
