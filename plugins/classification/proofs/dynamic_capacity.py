"""Does a Dynamic Capacity Network look where the digit is, and do more patches name it better?

Three networks learn: the fine layers on the whole image, the coarse layers alone, and both, with
eight patches in each image. The last one then names digits with fewer or more patches, at the most
salient cells or at random ones. A patch is on the target if its middle is in the digit's box.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plugins.attention.core.cost import count
from plugins.classification.networks.dynamic_capacity import (
    DynamicCapacityNetwork,
    fine_layers,
    merged,
    top_layers,
)
from plugins.classification.proofs.training import Row, Split, accuracy, fit, in_batches, prove

PATCH, TOP, LEARNED = 10, 48, 8
PATCHES = (1, 2, 4, 8, 16, 32)
EPOCHS, FINE_EPOCHS, RATE = 16, 8, 3e-3


class _Fine(nn.Sequential):
    """The fine layers on the whole image."""

    def loss(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(self(images), labels)}


def _rows(train: Split, val: Split, seed: int, epochs: int | None) -> Iterator[Row]:
    classes, (height, width) = int(train.labels.max()) + 1, train.images.shape[-2:]

    def row(network: str, patches: int | str, macs: int, right: float, *more: float) -> Row:
        names = ("accuracy_random", "on_target", "on_target_random")
        rest = dict(zip(names, more or ("",) * 3, strict=True))
        return {"seed": seed, "network": network, "patches": patches, "macs": macs,
                "accuracy": right, **rest}  # fmt: skip

    torch.manual_seed(seed)
    fine = _Fine(fine_layers(PATCH), top_layers(classes, TOP))
    macs = count(fine, lambda: fine(val.images[:1]), [3, height, width]).model["macs"]
    fit(fine, train, epochs=epochs or FINE_EPOCHS, rate=RATE, seed=seed)
    yield row("fine", "", macs, accuracy(fine, val))

    for patches in (0, LEARNED):
        torch.manual_seed(seed)
        network = DynamicCapacityNetwork(classes, patches=patches, patch=PATCH, top_width=TOP)
        fit(network, train, epochs=epochs or EPOCHS, rate=RATE, seed=seed)
        if not patches:
            yield row("coarse", 0, network.cost(height, width), accuracy(network, val))
    for network.patches in PATCHES:
        chosen = torch.cat(in_batches(lambda x: network.choose(network.coarse(x)), val.images))
        cells = network.coarse(val.images[:1])[0, 0].numel()
        drawn = torch.rand(len(val.labels), cells).argsort(dim=1)[:, : network.patches]
        shares = [_on_target(network, val, each) for each in (chosen, drawn)]
        right, by_chance = (_accuracy_at(network, val, each) for each in (chosen, drawn))
        macs = network.cost(height, width)
        yield row("both", network.patches, macs, right, by_chance, *shares)


@torch.no_grad()
def _accuracy_at(network: DynamicCapacityNetwork, data: Split, cells: Tensor) -> float:
    def right(images: Tensor, labels: Tensor, cells: Tensor) -> Tensor:
        fine = network.seen(images, cells)
        return network.top(merged(network.coarse(images), fine, cells)).argmax(dim=1) == labels

    parts = zip(*(each.split(100) for each in (data.images, data.labels, cells)), strict=True)
    return torch.cat([right(*part) for part in parts]).float().mean().item()


def _on_target(network: DynamicCapacityNetwork, data: Split, cells: Tensor) -> float:
    tops, lefts = network.corners(data.images, cells)
    middle = torch.stack([lefts, tops], dim=2) + network.patch / 2
    start, end = data.boxes[:, None, :2], data.boxes[:, None, 2:]
    return ((start <= middle) & (middle < end)).all(dim=2).float().mean().item()


if __name__ == "__main__":
    prove(_rows, __doc__)
