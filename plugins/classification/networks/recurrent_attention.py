"""RA-CNN: a classifier proposes where to look closer, and another one classifies what is there.

Fu et al. 2017, "Look Closer to See Better", CVPR; the recurrent attention convolutional neural
network. At each scale s but the last, a proposal network turns the features of the classifier into
the middle (tx, ty) and half the side tl of a crop, which is enlarged for scale s + 1:

    M(x, y) = [h(x - tx + tl) - h(x - tx - tl)] [h(y - ty + tl) - h(y - ty - tl)]
    h(z) = 1 / (1 + exp(-10 z)),  z in pixels
    crop = bilinear enlargement of what is inside, of image * M

    L_cls = sum over s of the cross-entropy of p_s
    L_rank = sum over s of max(0, p_s - p_{s+1} + 0.05),  p of the true class

The classifiers learn by L_cls while the proposals are fixed, and the proposals by L_rank while the
classifiers are fixed, in turns. Before that, the proposals learn the square of half the side around
the highest response of the features. The paper crops whole pixels, so that its gradient is that of
M; here it passes through the enlargement too. The logits are those of the mean probability of the
scales; the paper trains a layer on the features of all of them afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from plugins.attention.core.energy import exactly

__all__ = ["Proposal", "RecurrentAttentionNetwork", "Scale", "boxcar", "closer"]

GRID = 7
"""Rows and columns of the features that a proposal network sees, as those of VGG at 224 pixels."""

SHARPNESS = 10.0
"""k of h, which the paper takes large enough for M to be nearly 0 or 1."""

PROPOSING = 1 / 3
"""The share of a turn in which the proposals learn."""


class Scale(nn.Module):
    """A classifier: (N, 3, H, W) to logits (N, classes) and features (N, widths[-1], h, w).

    Parameters
    ----------
    classes: int
        How many there are.
    widths, depths: sequence of int
        Channels, and 3x3 convolutions, of each stage; pooling halves the map behind each.
    """

    def __init__(self, classes: int, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width, depth in zip(widths, depths, strict=True):
            for _ in range(depth):
                convolution = nn.Conv2d(before, width, 3, padding=1, bias=False)
                layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and features."""
        features = self.features(images)
        return self.head(features.mean(dim=(2, 3))), features

    def cost(self, height: int, width: int) -> int:
        """Return the MACs of one image."""
        total = self.head.weight.numel()
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                total += height * width * layer.weight.numel()
            elif isinstance(layer, nn.MaxPool2d):
                height, width = height // 2, width // 2
        return total


class Proposal(nn.Module):
    """Where to look closer: features (N, C, h, w) to boxes (N, 4).

    A box is x0, y0, x1, y1 as shares of the image's width and height. It lies in the image and has
    the image's proportions, since the layers' outputs are the place among all that are possible.
    Features have unit norm here, which the paper does not say: thousands of large ones would drive
    the hidden units to their limits in one step of Adam, and boxes would be the same for all.

    Parameters
    ----------
    channels, hidden: int
        C, and units of the hidden layer.
    smallest: float
        The least side of a box.
    """

    def __init__(self, channels: int, hidden: int, smallest: float) -> None:
        super().__init__()
        if not 0 < smallest < 1:
            raise ValueError(f"smallest must be between 0 and 1, got {smallest}")
        self.smallest = smallest
        self.pool = nn.AdaptiveAvgPool2d(GRID)
        self.layers = nn.Sequential(
            nn.Linear(channels * GRID**2, hidden), nn.Tanh(), nn.Linear(hidden, 3)
        )
        nn.init.normal_(self.layers[0].weight)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Propose, in single precision at least, as a pixel is a small share of the image."""
        kind = next(self.layers.parameters()).dtype
        with exactly(features):
            seen = self.pool(features.to(kind)).flatten(1)
            place = self.layers(F.normalize(seen)).sigmoid()
            side = self.smallest + (1 - self.smallest) * place[:, 2:]
            corner = (1 - side) * place[:, :2]
            return torch.cat([corner, corner + side], dim=1)


def boxcar(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return M (N, H, W) of boxes (N, 4) given as shares."""
    along = (_edges(boxes[:, 1::2] * height, height), _edges(boxes[:, 0::2] * width, width))
    return along[0][:, :, None] * along[1][:, None, :]


def _edges(ends: Tensor, size: int) -> Tensor:
    """Nearly 1 at pixels between two ends (N, 2), nearly 0 beyond: (N, size)."""
    middles = torch.arange(size, device=ends.device, dtype=ends.dtype) + 0.5
    inside = SHARPNESS * (middles - ends[..., None])
    return inside[:, 0].sigmoid() - inside[:, 1].sigmoid()


def closer(images: Tensor, boxes: Tensor) -> Tensor:
    """Return what is in the boxes (N, 4), enlarged to the size of the images (N, C, H, W)."""
    with exactly(images):
        masked = images.to(boxes.dtype) * boxcar(boxes, *images.shape[-2:])[:, None]
        start, end = boxes[:, :2], boxes[:, 2:]
        # grid_sample counts from -1 to 1.
        scale, middle = torch.diag_embed(end - start), (start + end - 1)[..., None]
        grid = F.affine_grid(
            torch.cat([scale, middle], dim=2), list(images.shape), align_corners=False
        )
        return F.grid_sample(masked, grid, padding_mode="border", align_corners=False)


class RecurrentAttentionNetwork(nn.Module):
    """The whole classifier; the defaults are VGG-19 at three scales, with normalisation.

    Parameters
    ----------
    classes: int
        How many there are.
    scales: int
        2 or more; the paper has 2 and 3.
    widths, depths: sequence of int
        Of the classifiers, see :class:`Scale`. Mean pooling follows, not VGG's large layers.
    hidden: int
        Units in the hidden layer of each proposal network.
    smallest: float
        The least side of a crop, as a share of the side of the image that it is cut from.
    margin: float
        Of the rank loss.
    alone: float
        The share of the training in which the classifiers learn first; the paper's are pretrained.
    turns: int
        In how many turns the rest is divided. In each the proposals learn first, their start in the
        first turn and by the rank loss in the others, and then the classifiers. If
        ``training_steps`` is None, both learn in each step.

    Attributes
    ----------
    find_unused_parameters: bool
        What learns in a step is not the same for all steps, which training in several processes
        has to know.
    """

    find_unused_parameters = True
    training_step = 0
    training_steps: int | None = None

    def __init__(
        self,
        classes: int,
        *,
        scales: int = 3,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        depths: Sequence[int] = (2, 2, 4, 4, 4),
        hidden: int = 1024,
        smallest: float = 1 / 3,
        margin: float = 0.05,
        alone: float = 0.5,
        turns: int = 3,
    ) -> None:
        super().__init__()
        if scales < 2 or turns < 2:
            raise ValueError(f"scales and turns must be 2 or more, got {scales} and {turns}")
        if not 0 <= alone < 1:
            raise ValueError(f"alone must be at least 0 and less than 1, got {alone}")
        self.margin, self.alone, self.turns = margin, alone, turns
        self.classifiers = nn.ModuleList(Scale(classes, widths, depths) for _ in range(scales))
        self.proposals = nn.ModuleList(
            Proposal(widths[-1], hidden, smallest) for _ in range(scales - 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, 3, H, W), which are logarithms of p's mean."""
        logits = torch.stack([logits for logits, _ in self._scales(images)])
        return logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits))

    def at_scales(self, images: Tensor) -> list[Tensor]:
        """Return the logits of each scale."""
        return [logits for logits, _ in self._scales(images)]

    def looked(self, images: Tensor) -> dict[str, Tensor]:
        """Return the crop of each scale but the first, in pixels of the image."""
        height, width = images.shape[-2:]
        size, found = images.new_tensor([width, height, width, height]), {}
        whole = images.new_tensor([0.0, 0, 1, 1]).expand(len(images), 4)
        for scale, (_, box) in enumerate(list(self._scales(images))[:-1], start=2):
            start, side = whole[:, :2], whole[:, 2:] - whole[:, :2]
            whole = torch.cat([start + side * box[:, :2], start + side * box[:, 2:]], dim=1)
            found[f"scale{scale}"] = whole * size
        return found

    def cost(self, height: int, width: int) -> int:
        """Return the MACs of one image; masks and enlargement are elementwise."""
        total = sum(scale.cost(height, width) for scale in self.classifiers)  # type: ignore[operator]
        for proposal in self.proposals:
            total += sum(x.weight.numel() for x in proposal.modules() if isinstance(x, nn.Linear))
        return total

    def phase(self) -> str:
        """Return what learns: ``classifiers``, ``start``, ``proposals``, or ``all``."""
        if self.training_steps is None:
            return "all"
        since = self.training_step - self.alone * self.training_steps
        length = (1 - self.alone) * self.training_steps / self.turns
        turn, within = divmod(since, length)
        if turn < 0 or within >= PROPOSING * length:
            return "classifiers"
        return "proposals" if turn else "start"

    def loss(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the losses of what learns in this step."""
        phase, losses = self.phase(), {}
        if phase in ("classifiers", "all"):
            for scale, logits in enumerate(self.at_scales(images), start=1):
                losses[f"loss_scale_{scale}"] = F.cross_entropy(logits, labels)
        if phase in ("proposals", "all"):
            losses["loss_rank"] = self._rank(images, labels)
        if phase == "start":
            losses["loss_start"] = self._start(images)
        return losses

    def _scales(self, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the logits of each scale, and its box for the next one, which has no gradient."""
        for scale, classifier in enumerate(self.classifiers):
            logits, features = classifier(images)
            box = images.new_empty(len(images), 0)
            if scale < len(self.proposals):
                with torch.no_grad():
                    box = self.proposals[scale](features)
                    images = closer(images, box)
            yield logits, box

    def _rank(self, images: Tensor, labels: Tensor) -> Tensor:
        """L_rank, whose gradient of each term is that of one proposal network."""
        true, terms = [], []
        with _resting(self.classifiers):
            for scale, classifier in enumerate(self.classifiers):
                fixed = {name: value.detach() for name, value in classifier.state_dict().items()}
                logits, features = functional_call(classifier, fixed, (images,))
                p = logits.softmax(dim=1).gather(1, labels[:, None])[:, 0]
                true.append(p)
                if scale < len(self.proposals):
                    # A proposal shall raise the p that follows, and not lower its own.
                    images = closer(images.detach(), self.proposals[scale](features.detach()))
        for coarse, fine in pairwise(true):
            terms.append((coarse.detach() - fine + self.margin).relu().mean())
        return torch.stack(terms).sum()

    def _start(self, images: Tensor) -> Tensor:
        """Mean squared distance to boxes of half the side around the highest response."""
        losses = []
        with _resting(self.classifiers):
            for classifier, proposal in zip(self.classifiers, self.proposals, strict=False):
                with torch.no_grad():
                    _, features = classifier(images)
                boxes = proposal(features)
                losses.append(F.mse_loss(boxes, around_peak(features).to(boxes.dtype)))
                images = closer(images, boxes.detach())
        return torch.stack(losses).sum()


def around_peak(features: Tensor) -> Tensor:
    """Return the boxes (N, 4) of half the side, as shares, around the cell of most response."""
    rows, columns = features.shape[-2:]
    cells = features.sum(dim=1).flatten(1).argmax(dim=1)
    middle = torch.stack(
        [(cells % columns + 0.5) / columns, (cells // columns + 0.5) / rows], dim=1
    )
    middle = middle.clamp(0.25, 0.75)
    return torch.cat([middle - 0.25, middle + 0.25], dim=1)


@contextmanager
def _resting(modules: nn.Module) -> Iterator[None]:
    """Keep statistics of normalisation as they are."""
    training = {module: module.training for module in modules.modules()}
    modules.eval()
    try:
        yield
    finally:
        for module, was in training.items():
            module.training = was
