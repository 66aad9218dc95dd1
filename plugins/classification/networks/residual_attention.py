"""Residual Attention Network: attention modules, each with a mask for every channel and position.

Wang et al. 2017, https://arxiv.org/abs/1704.06904; widths, and the units inside a module, are those
of the authors' networks, https://github.com/fwang91/residual-attention-network. A module is

    x = unit(input)
    H = (1 + M(x)) T(x)        equation (3), attention residual learning
    H = M(x) T(x)              equation (1), naive attention learning, the paper's ablation
    output = unit(H)

where the trunk T is two residual units, and the mask M goes down, by pooling, and up again, by
interpolation, and ends in a sigmoid: mixed attention, the paper's f1, in each channel by itself.
Units are those of He et al. 2016, https://arxiv.org/abs/1603.05027, with normalisation first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.maps.residual_attention import MaskBranch, ResidualUnit

__all__ = ["AttentionModule", "ResidualAttentionNetwork"]

EXPANSION = 4
"""By how many the first stage has more channels than what comes before it."""

LEARNING = ("residual", "naive", "none")


class AttentionModule(nn.Module):
    """A module of the network on a map (N, C, H, W); the size stays.

    Parameters
    ----------
    channels: int
        C.
    levels: int
        Of the mask.
    learning: str
        ``residual``, ``naive``, or ``none``, which has no mask: output = unit(T(x)).
    """

    def __init__(self, channels: int, levels: int, learning: str = "residual") -> None:
        super().__init__()
        if learning not in LEARNING:
            raise ValueError(f"learning must be one of {', '.join(LEARNING)}, got {learning!r}")
        self.learning = learning
        self.first = ResidualUnit(channels, channels)
        self.trunk = nn.Sequential(*(ResidualUnit(channels, channels) for _ in range(2)))
        self.mask = None if learning == "none" else MaskBranch(channels, levels)
        self.last = ResidualUnit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        x = self.first(x)
        trunk = self.trunk(x)
        if self.mask is None:
            return self.last(trunk)
        masked = self.mask(x) * trunk
        return self.last(masked if self.learning == "naive" else trunk + masked)


class ResidualAttentionNetwork(nn.Module):
    """The whole classifier; the defaults are Attention-56.

    Parameters
    ----------
    classes: int
        How many there are.
    modules: sequence of int
        Attention modules in each stage but the last: (1, 1, 1) is Attention-56, (1, 2, 3) is
        Attention-92.
    widths: sequence of int
        Channels of the stages, one more than `modules`; the last stage has no attention.
    levels: sequence of int, optional
        Of the masks, by stage; otherwise 1 in the last stage with attention, and one more in each
        before it, whose maps are twice as large.
    stem: int
        By how much the first layers reduce the image: 4 by a 7x7 convolution and pooling, as in the
        paper; 2 or 1 by a 3x3 convolution, for small images. Each stage but the first halves the
        map again.
    last_units: int
        Residual units in the last stage.
    learning: str
        See :class:`AttentionModule`.
    """

    def __init__(
        self,
        classes: int,
        *,
        modules: Sequence[int] = (1, 1, 1),
        widths: Sequence[int] = (256, 512, 1024, 2048),
        levels: Sequence[int] | None = None,
        stem: int = 4,
        last_units: int = 3,
        learning: str = "residual",
    ) -> None:
        super().__init__()
        levels = range(len(modules), 0, -1) if levels is None else levels
        if not len(modules) == len(levels) == len(widths) - 1:
            raise ValueError(
                f"{len(widths)} widths need {len(widths) - 1} numbers of modules and of levels, got"
                f" {len(modules)} and {len(levels)}"
            )
        self.stem, channels = _stem(stem, max(1, widths[0] // EXPANSION))
        stages = []
        for stage, width in enumerate(widths):
            attends = stage < len(modules)
            units = 1 if attends else last_units
            layers: list[nn.Module] = []
            for unit in range(units):
                halves = unit == 0 and stage > 0
                layers.append(ResidualUnit(channels, width, stride=2 if halves else 1))
                channels = width
            for _ in range(modules[stage] if attends else 0):
                layers.append(AttentionModule(width, levels[stage], learning))
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, 3, H, W)."""
        features = self.norm(self.stages(self.stem(images))).relu()
        return self.head(features.mean(dim=(2, 3)))

    def loss(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy."""
        return {"loss": F.cross_entropy(self(images), labels)}

    def looked(self, images: Tensor) -> dict[str, Tensor]:
        """Return the mean over channels of each mask, (N, h, w), by its place in the network."""
        found: dict[str, Tensor] = {}
        x = self.stem(images)
        for stage, layers in enumerate(self.stages, start=1):
            assert isinstance(layers, nn.Sequential)
            for layer in layers:
                if isinstance(layer, AttentionModule) and layer.mask is not None:
                    number = sum(name.startswith(f"stage{stage}") for name in found) + 1
                    found[f"stage{stage}.{number}"] = layer.mask(layer.first(x)).mean(dim=1)
                x = layer(x)
        return found


def _stem(reduction: int, channels: int) -> tuple[nn.Module, int]:
    """Return the first layers, and how many channels they make."""
    if reduction == 4:
        return nn.Sequential(
            nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        ), channels
    if reduction in (1, 2):
        return nn.Conv2d(3, channels, 3, stride=reduction, padding=1, bias=False), channels
    raise ValueError(f"stem must be 1, 2 or 4, got {reduction}")
