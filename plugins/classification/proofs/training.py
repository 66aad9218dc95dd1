"""A prepared set in memory, and a plain training on it: what the proofs share."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from plugins.classification.data.layout import find_images, read_boxes

__all__ = ["Row", "Split", "accuracy", "fit", "in_batches", "prove", "read", "write"]

Row = dict[str, Any]

MEAN, DEVIATION = 0.45, 0.25
BATCH, EVALUATED = 64, 100
SHIFT = 4


@dataclass(frozen=True)
class Split:
    """The images of a split, all of one size.

    Attributes
    ----------
    images: Tensor
        (N, 3, H, W), normalised.
    labels: Tensor
        (N,).
    boxes: Tensor
        (N, 4) as x0, y0, x1, y1 in pixels, around what is named.
    """

    images: Tensor
    labels: Tensor
    boxes: Tensor


def read(folder: Path, split: str) -> Split:
    """Read a split of a prepared set with boxes."""
    import numpy
    from PIL import Image

    found, boxes = find_images(folder, split), read_boxes(folder)
    pixels = numpy.stack(
        [numpy.asarray(Image.open(folder / path).convert("RGB")) for path, _ in found]
    )
    # Channels stay last in memory, where convolutions on a CPU are a third faster.
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    corners = [(x, y, x + width, y + height) for x, y, width, height in
               (boxes[path] for path, _ in found)]  # fmt: skip
    return Split(
        (images - MEAN) / DEVIATION,
        torch.tensor([label for _, label in found]),
        torch.tensor(corners, dtype=torch.float32),
    )


def fit(
    network: Any,
    data: Split,
    *,
    epochs: int,
    rate: float,
    seed: int,
    factors: Mapping[str, float] | None = None,
    shift: int = SHIFT,
) -> None:
    """Train by AdamW at a rate that rises and falls once.

    `factors` are for the rates of parts of the network, by their names. Images are moved by
    `shift` pixels at most, along each axis.
    """
    factors = factors or {}
    groups = [{"params": getattr(network, name).parameters()} for name in factors]
    parts = tuple(f"{name}." for name in factors)
    rest = [p for name, p in network.named_parameters() if not name.startswith(parts)]
    groups.append({"params": rest})
    rates = [rate * factor for factor in (*factors.values(), 1)]
    draw = torch.Generator().manual_seed(seed)
    per_epoch = len(data.labels) // BATCH
    steps = per_epoch * epochs
    optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps)
    network.to(memory_format=torch.channels_last).train()
    for step in range(steps):
        if step % per_epoch == 0:
            order = torch.randperm(len(data.labels), generator=draw)
        chosen = order[step % per_epoch * BATCH :][:BATCH]
        network.training_step, network.training_steps = step, steps
        losses = network.loss(_shifted(data.images[chosen], shift, draw), data.labels[chosen])
        optimizer.zero_grad()
        sum(loss for name, loss in losses.items() if name.startswith("loss")).backward()
        optimizer.step()
        schedule.step()
    network.eval()


def _shifted(images: Tensor, most: int, draw: torch.Generator) -> Tensor:
    height, width = images.shape[-2:]
    wider = nn.functional.pad(images, [most] * 4, mode="reflect")
    by = torch.randint(2 * most + 1, (len(images), 2), generator=draw).tolist()
    shifted = [one[:, y : y + height, x : x + width] for one, (y, x) in zip(wider, by, strict=True)]
    return torch.stack(shifted).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Any], images: Tensor) -> list[Any]:
    """Return what a function gives for each batch of images."""
    return [function(batch) for batch in images.split(EVALUATED)]


def accuracy(network: Callable[[Tensor], Tensor], data: Split) -> float:
    """Return the share of images with the right label."""
    logits = torch.cat(in_batches(network, data.images))
    return (logits.argmax(dim=1) == data.labels).float().mean().item()


def prove(rows: Callable[[Split, Split, int, int | None], Iterable[Row]], text: str | None) -> None:
    """Write a table, by the command line, of what trainings with some seeds come to.

    Parameters
    ----------
    rows: callable
        Returns the rows of one seed, from the train split, the val split, the seed, and the epochs
        of a training (None for as many as it needs).
    text: str, optional
        What is asked, for ``--help``.
    """
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a prepared set, such as cluttered-digits")
    parser.add_argument("table", type=Path, help="the CSV file to write")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each network")
    parser.add_argument("--epochs", type=int, help="of each training")
    given = parser.parse_args()
    train, val = (read(given.folder, split) for split in ("train", "val"))
    found: list[Row] = []
    for seed in range(given.seeds):
        for row in rows(train, val, seed, given.epochs):
            found.append(row)
            # After each, so that what took long is not lost.
            write(given.table, found)


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write a table of rows with the same columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()})
