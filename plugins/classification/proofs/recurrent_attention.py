"""Does RA-CNN look closer at the digit that gives an image its class?

A crop holds the digit if it has the middle, or the whole, of its box. Random crops are as large.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from plugins.classification.networks.recurrent_attention import RecurrentAttentionNetwork
from plugins.classification.proofs.training import Row, Split, accuracy, fit, in_batches, prove

WIDTHS, DEPTHS, HIDDEN, ALONE = (8, 16, 32, 64), (1, 1, 1, 1), 64, 0.2
EPOCHS, RATE = 24, 5e-3


def _rows(train: Split, val: Split, seed: int, epochs: int | None) -> Iterator[Row]:
    torch.manual_seed(seed)
    network = RecurrentAttentionNetwork(
        int(train.labels.max()) + 1,
        scales=2,
        widths=WIDTHS,
        depths=DEPTHS,
        hidden=HIDDEN,
        alone=ALONE,
    )
    fit(network, train, epochs=epochs or EPOCHS, rate=RATE, seed=seed)
    scales = [torch.cat(each) for each in zip(*in_batches(network.at_scales, val.images),
                                              strict=True)]  # fmt: skip
    first, second = (each.softmax(dim=1).gather(1, val.labels[:, None])[:, 0] for each in scales)
    crops = torch.cat(in_batches(lambda x: network.looked(x)["scale2"], val.images))
    sides = crops[:, 2:] - crops[:, :2]
    start = torch.rand(len(crops), 2) * (crops.new_tensor(val.images.shape[:1:-1]) - sides)
    drawn = torch.cat([start, start + sides], dim=1)
    right = [(each.argmax(dim=1) == val.labels).float().mean().item() for each in scales]
    yield {
        "seed": seed,
        "accuracy": accuracy(network, val),
        "accuracy_scale_1": right[0],
        "accuracy_scale_2": right[1],
        "p_rises": (second > first).float().mean().item(),
        "side": (sides / crops.new_tensor(val.images.shape[:1:-1])).mean().item(),
        "middle_held": _middle_held(crops, val.boxes),
        "middle_held_random": _middle_held(drawn, val.boxes),
        "whole_held": _whole_held(crops, val.boxes),
        "whole_held_random": _whole_held(drawn, val.boxes),
    }


def _middle_held(crops: Tensor, boxes: Tensor) -> float:
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return ((crops[:, :2] <= middle) & (middle < crops[:, 2:])).all(dim=1).float().mean().item()


def _whole_held(crops: Tensor, boxes: Tensor) -> float:
    inside = (crops[:, :2] <= boxes[:, :2]) & (boxes[:, 2:] <= crops[:, 2:])
    return inside.all(dim=1).float().mean().item()


if __name__ == "__main__":
    prove(_rows, __doc__)
