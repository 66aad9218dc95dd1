"""Do the mechanisms of trained runs attend to the object that gives an image its class?

The pointing game of Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop",
https://arxiv.org/abs/1608.00507, without their tolerance: a hit is an image whose most attended
position is in the object's box. A table has a row for each run, module, and thing to look at:

weights   of each key, the mean over heads and queries
mask      the gates of positions
crop      the part of the image that a spatial transformer enlarges; its middle is the position

and these shares, as means over the images of val that have a box:

pointing    hits; of several positions that are attended most, the share of those in the box
reachable   images with the middle of a position in the box: no map hits more often
by_chance   positions in the box, as a random one hits
area        the box's share of the image
mass        attention within the box; as much as `area` if all is attended alike

A position is one of the equal parts into which its map divides the image. Behind a spatial
transformer positions are elsewhere in the image, so that of its run the crop alone is in the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor

from plugins.classification.data.layout import read_boxes
from plugins.classification.proofs.trained import Trained, prove_runs
from plugins.classification.proofs.training import Row
from plugins.openmmlab.look import placement, watch

__all__ = ["attention", "in_crop", "in_map"]

SAMPLES = 32
"""Points of a crop along each axis, of which some are in the box."""


def _rows(run: Trained) -> Iterator[Row]:
    boxes = read_boxes(run.job.data)
    if not boxes:
        raise ValueError(f"{run.job.data} has no boxes.json: where the objects are is not known")
    seen, found = watch(run.model), dict[tuple[str, str], list[Tensor]]()
    areas = []
    for inputs, samples in run.batches():
        where = torch.stack([_box(sample, run, boxes) for sample in samples])
        area = (where[:, 2:] - where[:, :2]).clamp(min=0).prod(dim=1)
        shown = area > 0  # false without a box, or if it was cut off
        areas.append(area[shown])
        run.model(inputs)
        for name, (module, features) in seen.items():
            for what, value in attention(module, features).items():
                measure = in_crop if what == "crop" else in_map
                found.setdefault((name, what), []).append(measure(value[shown], where[shown]))
    area = torch.cat(areas)
    if not len(area):
        raise ValueError(f"boxes.json of {run.job.data} has no box in an image of val")
    moved = any(what == "crop" for _, what in found)
    for (name, what), values in found.items():
        if moved and what != "crop":
            continue
        hits, reachable, chance, mass = torch.cat(values).double().mean(dim=0).tolist()
        yield run.row() | {
            "module": name,
            "what": what,
            "images": len(area),
            "pointing": hits,
            "reachable": reachable,
            "by_chance": chance,
            "area": area.double().mean().item(),
            "mass": mass,
        }


def _box(sample: Any, run: Trained, boxes: dict[str, Any]) -> Tensor:
    """Return x0, y0, x1, y1 in the network's input, from 0 to 1; zeros if there is no box."""
    meta = sample.metainfo
    path = meta["img_path"].removeprefix(f"{run.job.data}/")
    if path not in boxes:
        return torch.zeros(4)
    x, y, width, height = boxes[path]
    size = meta["ori_shape"][1::-1]
    corners = torch.tensor([[x, y], [x + width, y + height]])
    scaled, lost = (torch.tensor(each) for each in placement(size, meta))
    shown = torch.tensor(meta["img_shape"][1::-1])
    return ((corners * scaled / torch.tensor(size) - lost) / shown).clamp(0, 1).flatten()


def attention(module: Any, features: Tensor) -> dict[str, Tensor]:
    """Return what a mechanism's module shows of positions, by name, for a map (N, C, H, W).

    Maps are (N, H, W), not negative: weights in all modes of all mechanisms are taken by their
    magnitude. A ``crop`` is (N, 4, 2).
    """
    queries = list(product(*map(range, features.shape[-2:])))
    found = {}
    for what, value in module.mechanism.weights(module, features, queries=queries).items():
        if what == "weights" and value.dim() == 5:
            found[what] = value.abs().mean(dim=(1, 2))
        elif what == "crop" or value.dim() == 3:
            found[what] = value
    return found


def in_map(maps: Tensor, boxes: Tensor) -> Tensor:
    """Return hit, reachable, share of positions in the box, and mass in it, (N, 4).

    Parameters
    ----------
    maps: Tensor
        (N, H, W), not negative.
    boxes: Tensor
        (N, 4) as x0, y0, x1, y1 from 0 to 1.
    """
    (within_x, covered_x), (within_y, covered_y) = (
        _along(maps.shape[2 - axis], boxes[:, axis], boxes[:, axis + 2]) for axis in (0, 1)
    )
    within = within_y[:, :, None] & within_x[:, None]
    most = maps == maps.amax(dim=(1, 2), keepdim=True)
    hit = (within & most).sum(dim=(1, 2)) / most.sum(dim=(1, 2))
    mass = torch.einsum("nyx,ny,nx->n", maps, covered_y, covered_x)
    mass = mass / maps.sum(dim=(1, 2)).clamp(min=torch.finfo(maps.dtype).tiny)
    reachable, share = within.flatten(1).any(dim=1), within.flatten(1).float().mean(dim=1)
    return torch.stack([hit, reachable.float(), share, mass], dim=1)


def _along(positions: int, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Return, along an axis, whose middle is in the boxes and which part of each is, (N, P)."""
    left = torch.arange(positions) / positions
    start, end = start[:, None], end[:, None]
    middle = left + 0.5 / positions
    covered = torch.minimum(end, left + 1 / positions) - torch.maximum(start, left)
    return (start <= middle) & (middle < end), covered.clamp(min=0) * positions


def in_crop(corners: Tensor, boxes: Tensor) -> Tensor:
    """Return as `in_map` does, of crops (N, 4, 2), as x and y from 0 to 1.

    Of the positions that a crop's middle can have, the box holds its area.
    """
    start, end = boxes[:, None, :2], boxes[:, None, 2:]

    def inside(points: Tensor) -> Tensor:
        return ((start <= points) & (points < end)).all(dim=2).float().mean(dim=1)

    steps = (torch.arange(SAMPLES) + 0.5) / SAMPLES
    down, across = (each.flatten()[:, None] for each in torch.meshgrid(steps, steps, indexing="ij"))
    upper_left, upper_right, _, lower_left = corners[:, :, None].unbind(dim=1)
    points = upper_left + across * (upper_right - upper_left) + down * (lower_left - upper_left)
    middle = corners.mean(dim=1, keepdim=True)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return torch.stack([inside(middle), torch.ones(len(boxes)), area, inside(points)], dim=1)


if __name__ == "__main__":
    prove_runs(_rows, __doc__)
