"""What a task says about a file of weights that its trainings start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["WeightsFile"]


@dataclass(frozen=True)
class WeightsFile:
    """A file of pretrained weights.

    Parameters
    ----------
    name: str
        What the recipe calls it, such as ``torchvision://resnet50``.
    path: Path
        Where it lies, or belongs.
    url: str
        Where it can be fetched; empty for a file of the user's.
    """

    name: str
    path: Path
    url: str = ""
