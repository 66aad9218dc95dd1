"""Do masks of a Residual Attention Network help to name digits, and do they mark the digit?

The same trunk learns with ``residual`` attention, with ``naive`` attention, and with ``none``. A
mask marks the digit if its mean over the digit's box is above that over the rest of the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from plugins.classification.networks.residual_attention import LEARNING, ResidualAttentionNetwork
from plugins.classification.proofs.training import Row, Split, accuracy, fit, in_batches, prove

MODULES, LEVELS, WIDTHS = (1, 1), (2, 1), (32, 64, 128)
EPOCHS, RATE = 8, 3e-3


def _rows(train: Split, val: Split, seed: int, epochs: int | None) -> Iterator[Row]:
    for learning in LEARNING:
        yield _row(train, val, learning, seed, epochs)


def _row(train: Split, val: Split, learning: str, seed: int, epochs: int | None) -> Row:
    torch.manual_seed(seed)
    network = ResidualAttentionNetwork(
        int(train.labels.max()) + 1,
        modules=MODULES,
        levels=LEVELS,
        widths=WIDTHS,
        last_units=1,
        learning=learning,
    )
    fit(network, train, epochs=epochs or EPOCHS, rate=RATE, seed=seed)
    row: Row = {
        "learning": learning, "seed": seed, "accuracy": accuracy(network, val)
    }  # fmt: skip
    masks = in_batches(network.looked, val.images)
    for name in [f"stage{stage}.1" for stage in range(1, len(MODULES) + 1)]:
        values: tuple[Any, ...] = ("", "", "")
        if name in masks[0]:
            values = _inside_and_outside(torch.cat([each[name] for each in masks]), val)
        whats = ("inside", "outside", "marks")
        row |= {f"{name}_{what}": value for what, value in zip(whats, values, strict=True)}
    return row


def _inside_and_outside(masks: Tensor, data: Split) -> tuple[float, float, float]:
    """Return the mean of masks in the boxes and beside them, and how often the first is larger."""
    height, width = data.images.shape[-2:]
    masks = F.interpolate(masks[:, None], size=(height, width), mode="bilinear")[:, 0]
    x0, y0, x1, y1 = data.boxes[..., None].unbind(dim=1)
    rows, columns = torch.arange(height), torch.arange(width)
    within = ((y0 <= rows) & (rows < y1))[:, :, None] & ((x0 <= columns) & (columns < x1))[:, None]
    means = [(masks * where).sum(dim=(1, 2)) / where.sum(dim=(1, 2)) for where in (within, ~within)]
    more = (means[0] > means[1]).float().mean().item()
    return means[0].mean().item(), means[1].mean().item(), more


if __name__ == "__main__":
    prove(_rows, __doc__)
