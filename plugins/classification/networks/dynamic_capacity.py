"""Dynamic Capacity Network: a cheap network sees the whole image, a better one a few patches of it.

Almahairi et al. 2016, "Dynamic Capacity Networks", https://arxiv.org/abs/1511.07838; the layers are
those of its experiments on cluttered MNIST. With coarse features c = f_c(image), a vector c_ij at
each cell, fine features f_f of a patch, and layers g on top of both:

    H = entropy of softmax(g(c))
    M_ij = norm of dH / dc_ij                                the saliency of a cell
    logits = g(c, where the k most salient c_ij are f_f(patch around ij))
    loss = cross-entropy + hint * mean over patches of the squared norm of c_ij - f_f(patch_ij)

No gradient passes through M or the choice of cells, and that of the hint reaches c alone. Never
call it DCN, which is deformable convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.core.energy import exactly

__all__ = ["DynamicCapacityNetwork", "coarse_layers", "fine_layers", "merged", "top_layers"]

CELL, FIELD = 4, 11
"""Pixels from a cell of the coarse map to the next, and those that a cell sees along an axis."""


def coarse_layers(width: int = 12, channels: int = 24) -> nn.Sequential:
    """Return f_c: (N, 3, H, W) to (N, channels, h, w), where h = (H - FIELD) // CELL + 1."""
    return nn.Sequential(
        nn.Conv2d(3, width, 7, stride=2, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, channels, 3, stride=2), nn.ReLU(),
    )  # fmt: skip


def fine_layers(patch: int = 14, channels: int = 24) -> nn.Sequential:
    """Return f_f: (N, 3, patch, patch) to (N, channels, 1, 1), and larger images to maps."""
    if patch < 6 or patch % 4 != 2:
        raise ValueError(f"patch must be 6, 10, 14 or 4 more, as pooling needs, got {patch}")

    def layers(before: int, padding: int) -> list[nn.Module]:
        convolution = nn.Conv2d(before, channels, 3, padding=padding, bias=False)
        return [convolution, nn.BatchNorm2d(channels), nn.ReLU()]

    return nn.Sequential(
        *layers(3, 0), *layers(channels, 1), nn.MaxPool2d(2),
        *layers(channels, 1), *layers(channels, 1), nn.MaxPool2d(2),
        # No normalisation: one patch of one image has one vector here.
        nn.Conv2d(channels, channels, patch // 4), nn.ReLU(),
    )  # fmt: skip


def top_layers(classes: int, width: int = 96, channels: int = 24) -> nn.Sequential:
    """Return g: a map (N, channels, h, w) to logits (N, classes).

    It has no normalisation, whose statistics would be those of coarse and merged maps in turn.
    """
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, stride=2), nn.ReLU(),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(width, classes),
    )  # fmt: skip


class DynamicCapacityNetwork(nn.Module):
    """The whole classifier.

    Parameters
    ----------
    classes: int
        How many there are.
    patches: int
        k, patches that the fine layers see in each image; 0 is the coarse network alone.
    patch: int
        Height and width of a patch in pixels.
    coarse_width, channels, top_width: int
        Channels of the first coarse layer, of both kinds of features, and of the top layer.
    hint: float
        Weight of the hint.
    """

    def __init__(
        self,
        classes: int,
        *,
        patches: int = 8,
        patch: int = 14,
        coarse_width: int = 12,
        channels: int = 24,
        top_width: int = 96,
        hint: float = 0.01,
    ) -> None:
        super().__init__()
        if patches < 0:
            raise ValueError(f"patches must be 0 or more, got {patches}")
        self.patches, self.patch, self.hint = patches, patch, hint
        self.coarse = coarse_layers(coarse_width, channels)
        self.fine = fine_layers(patch, channels)
        self.top = top_layers(classes, top_width, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, 3, H, W)."""
        coarse = self.coarse(images)
        if not self.patches:
            return self.top(coarse)
        cells = self.choose(coarse)
        return self.top(merged(coarse, self.seen(images, cells), cells))

    def loss(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy and the hint."""
        coarse = self.coarse(images)
        if not self.patches:
            return {"loss": F.cross_entropy(self.top(coarse), labels)}
        cells = self.choose(coarse)
        fine = self.seen(images, cells)
        error = (
            coarse.flatten(2).gather(2, _for_each_channel(cells, fine)) - fine.detach()
        ).square()
        return {
            "loss": F.cross_entropy(self.top(merged(coarse, fine, cells)), labels),
            "loss_hint": self.hint * error.sum(dim=1).mean(),
        }

    def saliency(self, coarse: Tensor) -> Tensor:
        """Return M (N, h, w) of a coarse map (N, C, h, w), whatever mode torch is in."""
        # Entropies of sure predictions have gradients that half precision rounds to 0.
        with torch.inference_mode(False), torch.enable_grad(), exactly(coarse):
            # A leaf that goes through a module breaks torch's counter of products: no leaf.
            kind = self.top[-1].weight.dtype
            cells = coarse.detach().clone().to(kind).requires_grad_() * 1  # type: ignore[arg-type]
            log = self.top(cells).log_softmax(dim=1)
            # An image's entropy depends on its own cells alone, so that they may be added.
            (gradient,) = torch.autograd.grad(-(log.exp() * log).sum(), cells)
        return gradient.norm(dim=1)

    def choose(self, coarse: Tensor) -> Tensor:
        """Return the k most salient cells (N, k) of a coarse map, row by row."""
        cells = coarse[0, 0].numel()
        if self.patches > cells:
            raise ValueError(f"{self.patches} patches are more than the {cells} cells of the map")
        return self.saliency(coarse).flatten(1).topk(self.patches, dim=1).indices

    def corners(self, images: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first row and the first column (N, k) of each patch, in pixels.

        A patch has the middle of what its cell sees; at the border it reaches beyond the image.
        """
        columns = (images.shape[-1] - FIELD) // CELL + 1
        before = (FIELD - self.patch) // 2
        return CELL * (cells // columns) + before, CELL * (cells % columns) + before

    def seen(self, images: Tensor, cells: Tensor) -> Tensor:
        """Return the fine features (N, C, k) of the patches around cells (N, k)."""
        margin = self.patch
        wider = F.pad(images, [margin] * 4).movedim(1, -1)
        tops, lefts = self.corners(images, cells)
        along = torch.arange(self.patch, device=images.device) + margin
        rows = (tops[..., None] + along)[..., :, None]
        columns = (lefts[..., None] + along)[..., None, :]
        image = torch.arange(len(images), device=images.device)[:, None, None, None]
        patches = wider[image, rows, columns].movedim(-1, 2)
        return self.fine(patches.flatten(0, 1)).view(*cells.shape, -1).mT

    def cost(self, height: int, width: int) -> int:
        """Return the MACs of one image: of c, of g three times (one is dH/dc), of each patch."""
        rows, columns = ((side - FIELD) // CELL + 1 for side in (height, width))
        first, _, _, second, _ = self.coarse
        halves = ((height - 7) // 2 + 1) * ((width - 7) // 2 + 1)
        coarse = halves * _taps(first) + rows * columns * _taps(second)
        convolution, *_, linear = self.top
        outputs = ((rows - 4) // 2 + 1) * ((columns - 4) // 2 + 1)
        top = outputs * _taps(convolution) + _taps(linear)
        if not self.patches:
            return coarse + top
        one, two, three, four, five = (x for x in self.fine if isinstance(x, nn.Conv2d))
        side = self.patch - 2
        patch = side**2 * (_taps(one) + _taps(two)) + (side // 2) ** 2 * (
            _taps(three) + _taps(four)
        )
        # The gradient with respect to c passes each product of g once.
        return coarse + 3 * top + self.patches * (patch + _taps(five))

    def looked(self, images: Tensor) -> dict[str, Tensor]:
        """Return the saliency (N, h, w), and how many patches lie on each pixel (N, H, W)."""
        coarse = self.coarse(images)
        found = {"saliency": self.saliency(coarse)}
        if not self.patches:
            return found
        tops, lefts = self.corners(images, self.choose(coarse))
        rows, columns = (
            (first[..., None] <= place) & (place < first[..., None] + self.patch)
            for first, place in (
                (tops, torch.arange(images.shape[2], device=images.device)),
                (lefts, torch.arange(images.shape[3], device=images.device)),
            )
        )
        found["patches"] = torch.einsum("nky,nkx->nyx", rows.float(), columns.float())
        return found


def merged(coarse: Tensor, fine: Tensor, cells: Tensor) -> Tensor:
    """Return the coarse map (N, C, h, w) where `cells` (N, k) have fine features (N, C, k)."""
    flat = coarse.flatten(2)
    index = _for_each_channel(cells, fine)
    return flat.scatter(2, index, fine.to(flat.dtype)).view_as(coarse)


def _for_each_channel(cells: Tensor, features: Tensor) -> Tensor:
    return cells[:, None].expand_as(features)


def _taps(layer: nn.Module) -> int:
    """MACs of a layer at one position."""
    assert isinstance(layer.weight, Tensor)
    return layer.weight.numel()
