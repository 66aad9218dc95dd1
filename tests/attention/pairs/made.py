"""Mechanisms between words and cells, as if they had learned, and something to pool."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plugins.attention.core.site import PairSite, Place
from plugins.attention.core.standing import build
from plugins.attention.core.word import Word

__all__ = ["CELLS", "CELL_CHANNELS", "CHANNELS", "SITE", "WORDS", "made", "padded"]

CHANNELS, CELL_CHANNELS = 6, 5
WORDS, CELLS = [4, 1, 3], [7, 5, 1]
"""How many are real of three questions and their images."""
SITE = PairSite(places=(Place.POOL,), channels=CHANNELS, key_channels=CELL_CHANNELS)


def made(word: str, site: PairSite = SITE, std: float = 0.5) -> nn.Module:
    """The module of a word at a site, with weights as if it had learned, and nothing at random."""
    (part,) = Word.parse(word).parts
    module = build(part, site).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=std)
    return module


def padded(kind: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Words, cells, and which of the words and which of the cells are padding."""
    torch.manual_seed(1)
    words = torch.randn(3, max(WORDS), CHANNELS, dtype=kind)
    cells = torch.randn(3, max(CELLS), CELL_CHANNELS, dtype=kind)
    no_word = torch.arange(max(WORDS)) >= torch.tensor(WORDS)[:, None]
    no_cell = torch.arange(max(CELLS)) >= torch.tensor(CELLS)[:, None]
    return words, cells, no_word, no_cell
