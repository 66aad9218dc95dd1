"""Which trainings are compared. Imports no framework: the command lists and filters them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["GRIDS", "OURS", "OUTPUTS", "PRECISIONS", "TASKS", "UNITS", "Training", "groups"]

OURS = "ours"

GRIDS = {
    "detection": "coco/mmdetection.yaml",
    "segmentation": "cityscapes/self_attention.yaml",
    "translation": "wmt14/self_attention.yaml",
}
"""Whose recipe a task is measured in."""

TASKS = tuple(GRIDS)

UNITS = {"detection": "images", "segmentation": "images", "translation": "tokens"}

OUTPUTS = {"detection": 80, "segmentation": 19, "translation": 37_000}
"""Classes of COCO and Cityscapes; words of WMT14's joint vocabulary, about (Vaswani et al. 2017,
https://arxiv.org/abs/1706.03762)."""

PRECISIONS = {
    "cpu": dict.fromkeys(TASKS, ("float32", "bfloat16")),
    "cuda": {
        "detection": ("float32", "float16"),  # half precision as the frameworks' users have it
        "segmentation": ("float32", "float16"),
        "translation": ("float32", "bfloat16"),
    },
}

MECHANISMS = (
    *("none", "1111", "0010", "0110", "0011"),
    *("none+deformable", "0010+deformable", "0110+deformable", "1111+deformable"),
)

THEIRS: dict[str, Mapping[str, tuple[str, str]]] = {
    "detection": {
        "none": ("MMDetection", "faster-rcnn_r50_fpn_1x_coco"),
        "0010": ("MMDetection", "faster-rcnn_r50-attn0010_fpn_1x_coco"),
        "1111": ("MMDetection", "faster-rcnn_r50-attn1111_fpn_1x_coco"),
        "none+deformable": ("MMDetection", "faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco"),
        "0010+deformable": ("MMDetection", "faster-rcnn_r50-attn0010-dcn_fpn_1x_coco"),
        "1111+deformable": ("MMDetection", "faster-rcnn_r50-attn1111-dcn_fpn_1x_coco"),
    },
    "segmentation": {"none": ("MMSegmentation", "fcn_r50-d8_4xb2-80k_cityscapes-769x769")},
    "translation": {"1000": ("fairseq", "transformer")},
}
"""The framework's own model with the same mechanism, and the name of its config or architecture."""

EVERYWHERE = {"1000": "1000"}
"""In translation: what stands in cross-attention, if it is not what the grid has there."""


@dataclass(frozen=True)
class Training:
    """One model in training.

    Attributes
    ----------
    task, mechanism, precision: str
        What is trained, and in which precision its products are.
    side: str
        ``ours``, or the framework whose own model it is.
    config: str
        The framework's name for its model; empty for ours.
    """

    task: str
    mechanism: str
    side: str
    precision: str
    config: str = ""

    @property
    def name(self) -> str:
        """What ``--only`` is matched with, such as ``detection 1111 float32``."""
        return f"{self.task} {self.mechanism} {self.precision}"

    @property
    def elsewhere(self) -> str | None:
        """In translation: what attends where the grid does not vary it; None for the grid's."""
        return EVERYWHERE.get(self.mechanism) if self.task == "translation" else None

    def to_json(self) -> dict[str, Any]:
        """Return the form in which a worker process receives it."""
        return asdict(self)


def groups(device: str, tasks: tuple[str, ...], pattern: str | None) -> list[list[Training]]:
    """Return what is timed in the same turns: the baseline, and a mechanism of ours and of theirs.

    Parameters
    ----------
    device: str
        ``cpu`` or ``cuda``.
    tasks: tuple of str
        Keys of `TASKS`.
    pattern: str, optional
        Only the mechanisms whose name contains this; it may have ``*``, ``?`` and ``[]``.
    """
    found = []
    for task in tasks:
        for precision in PRECISIONS[device][task]:
            baseline = _baseline(task, precision)
            theirs = THEIRS[task]
            for mechanism in dict.fromkeys((*theirs, *MECHANISMS)):
                ours = Training(task, mechanism, OURS, precision)
                group = [baseline, ours]
                if mechanism in theirs:
                    group.append(Training(task, mechanism, theirs[mechanism][0], precision,
                                          theirs[mechanism][1]))  # fmt: skip
                if fnmatchcase(ours.name, f"*{pattern or ''}*"):
                    found.append(list(dict.fromkeys(group)))
    return found


def _baseline(task: str, precision: str) -> Training:
    """Without attention; in translation, where there is none without, fairseq's own."""
    if task == "translation":
        ((mechanism, (side, config)),) = THEIRS[task].items()
        return Training(task, mechanism, side, precision, config)
    return Training(task, "none", OURS, precision)
