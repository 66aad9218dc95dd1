"""What is compared with what, on which inputs. Imports no torch: the command lists and filters it.

Shapes are those of the study's networks: conv4 and conv5 of a ResNet-50 for an image of 800 x 1344
pixels, and a Transformer of width 512 on batches of about 4096 tokens.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from plugins.attention.core.word import TERM_SETS

__all__ = ["HEADS", "REFERENCES", "WRONG_IN_MMCV", "Case", "all_cases", "select"]

WRONG_IN_MMCV = ("0100", "0110", "1100", "1110")
"""E2 without E4: mmcv raises on maps that are not square, and errs on those that are."""

REFERENCES = {
    "mmcv": "mmcv's GeneralizedAttention",
    "sdpa": "torch's scaled_dot_product_attention between the same projections",
    "dense": "the same with a row of energies for every query",
    "dense-form": "our own dense form, the definition written down",
    "flex": "torch's FlexAttention with the energies of position as captured tables",
    "mmcv-dcn": "mmcv's DeformConv2dPack",
    "conv": "torch's Conv2d of the same kernel, which does not deform",
    "fairseq": "fairseq's DynamicConv, and its MultiheadAttention as its encoder layer calls it",
}
"""The other side of each comparison, by the word that names it."""

HEADS = 8
KERNEL_SIZES = (3, 31)
"""Of dynamic convolution: the study's, and the widest of the paper that proposed it."""


@dataclass(frozen=True)
class Case:
    """One comparison on one input.

    Attributes
    ----------
    reference: str
        A key of `REFERENCES`.
    configuration: str
        Which of our modules: four bits E1E2E3E4, ``deformable``, or ``dynamic`` and its taps.
    place: str
        Where such an input occurs: ``conv4``, ``conv5``, or the length of the sequences, ``T=32``.
    shape: tuple of int
        Of the input: (N, C, H, W) or (N, T, C).
    kv_stride: int
        Of attention over maps; 1 elsewhere.
    causal: bool
        Whether positions after the query are hidden; of sequences.
    precision: str, optional
        ``float32`` or ``bfloat16``, of products; None on a CPU, where all is in single precision.
    """

    reference: str
    configuration: str
    place: str
    shape: tuple[int, ...]
    kv_stride: int = 1
    causal: bool = False
    precision: str | None = None

    @property
    def name(self) -> str:
        """What ``--only`` is matched with, such as ``mmcv 0110 conv4/2``."""
        return " ".join(filter(None, (self.reference, self.ours, self.precision)))

    @property
    def ours(self) -> str:
        """Configuration and setting, as of ``0110 conv4/2``."""
        return f"{self.configuration} {self.setting}"

    @property
    def setting(self) -> str:
        """Place and stride, the heading under which cases are comparable."""
        whole = len(self.shape) == 3 or self.configuration == "deformable"
        place = self.place if whole else f"{self.place}/{self.kv_stride}"
        return f"{place} causal" if self.causal else place

    @property
    def channels(self) -> int:
        """C of the input."""
        return self.shape[1] if len(self.shape) == 4 else self.shape[2]

    @property
    def taps(self) -> int | None:
        """Of dynamic convolution; None for the others."""
        name, _, taps = self.configuration.partition("-")
        return int(taps) if name == "dynamic" else None

    @property
    def columns(self) -> dict[str, Any]:
        """What a file of measurements says of the input and of our module."""
        return {
            "configuration": self.configuration,
            "place": self.place,
            "kv_stride": self.kv_stride,
            "causal": self.causal,
            "shape": "x".join(map(str, self.shape)),
            "precision": self.precision,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the form in which a worker process receives the case."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Case:
        """Read what `to_json` wrote."""
        return cls(**{**fields, "shape": tuple(fields["shape"])})


def all_cases(quick: bool) -> list[Case]:
    """Return every case; with `quick` those of one small map and one length, of milliseconds."""
    if quick:
        return [*_on_maps("small", 32, 10, 12), *_on_sequences(tokens=32, length=8, width=32)]
    cases = [*_on_maps("conv4", 256, 50, 84), *_on_maps("conv5", 512, 25, 42)]
    for length in (32, 128, 512):
        cases += _on_sequences(tokens=4096, length=length, width=512)
    return cases


def _on_maps(place: str, channels: int, height: int, width: int) -> list[Case]:
    shape = (1, channels, height, width)
    side = round(math.sqrt(height * width))
    square = (1, channels, side, side)
    cases = []
    for stride in (1, 2):
        for terms in TERM_SETS:
            on = square if terms in WRONG_IN_MMCV else shape
            cases.append(Case("mmcv", terms, place, on, stride))
        cases.append(Case("sdpa", "1000", place, shape, stride))
        cases.append(Case("dense", "0010", place, shape, stride))
    cases.append(Case("mmcv-dcn", "deformable", place, shape))
    cases.append(Case("conv", "deformable", place, shape))
    return cases


def _on_sequences(tokens: int, length: int, width: int) -> list[Case]:
    place, shape = f"T={length}", (tokens // length, length, width)
    dynamic = [Case("fairseq", f"dynamic-{taps}", place, shape) for taps in KERNEL_SIZES]
    return [*dynamic, Case("fairseq", "1000", place, shape)]


def select(cases: list[Case], pattern: str | None) -> list[Case]:
    """Return the cases whose name contains `pattern`, which may have ``*``, ``?`` and ``[]``."""
    return [case for case in cases if fnmatchcase(case.name, f"*{pattern or ''}*")]
