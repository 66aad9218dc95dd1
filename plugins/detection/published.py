"""MMDetection's model index: published checkpoints, and the AP that they reached.

MMDetection ships the index with its configs (``.mim/model-index.yml``); nothing is downloaded here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from plugins.contracts.job import CheckpointError, Job
from plugins.contracts.task import Published
from plugins.training.checkpoints import few

__all__ = ["Entry", "ModelIndex", "check", "differences", "find", "names", "otherwise_evaluated"]

DATA = "coco"
"""The study's name for the data set that the index calls COCO."""

PER_CENT = 0.01

TRAINING_ONLY = ("init_cfg", "frozen_stages", "norm_eval", "train_cfg", "loss_cls", "loss_bbox")
"""Keys of a model's config that make no difference to what its weights predict."""

SHOWN_BY_NAMES = ("stages", "stage_with_dcn")
"""Keys that the names of the parameters show as well, and more reliably: the attention models are
older than the last change of their configs' stages (MMDetection's pull request 2607)."""


class Entry(NamedTuple):
    """A checkpoint of the index.

    Attributes
    ----------
    name: str
        Such as ``faster-rcnn_r50_fpn_attention_1111_1x_coco``.
    config: Path
        The config that MMDetection trained it with.
    weights: str
        Where it can be downloaded.
    data: str
        Name of the data set that `metrics` are of.
    metrics: dict of str to float
        As published, in the study's names and units; empty without a box AP.
    """

    name: str
    config: Path
    weights: str
    data: str
    metrics: dict[str, float]

    @property
    def file(self) -> str:
        """The checkpoint's file name; it ends with the beginning of its SHA-256."""
        return self.weights.rpartition("/")[2]


class ModelIndex(Published):
    """The index, as ``study evaluate`` asks for it."""

    def find(self, word: str) -> Entry | None:
        """Return what the index has under a name, a config's name, or a file name."""
        return find(word)

    def names(self) -> list[str]:
        """Return all words that it knows."""
        return names()

    def check(self, job: Job, entry: Entry) -> None:
        """Raise CheckpointError if the published model is not that of the run."""
        check(job, entry)

    def otherwise_evaluated(self, job: Job, entry: Entry) -> list[str]:
        """Say how the run evaluates a model otherwise than MMDetection did."""
        return otherwise_evaluated(job, entry)


def find(word: str) -> Entry | None:
    """Return what the index has under a name, a config's name, or a checkpoint's file name."""
    return _index().get(word)


def names() -> list[str]:
    """Return all words that :func:`find` knows."""
    return list(_index())


@functools.cache
def _index() -> dict[str, Entry]:
    spec = find_spec("mmdet")  # found, not imported
    if spec is None or spec.origin is None:
        return {}
    root = Path(spec.origin).parent / ".mim"
    found: dict[str, Entry] = {}
    for entry in _entries(root):
        # The folder of a checkpoint has the name that its config had in MMDetection 2.
        folder = entry.weights.split("/")[-2]
        for word in (entry.name, entry.config.stem, folder, entry.file):
            found.setdefault(word, entry)
    return found


def _entries(root: Path) -> Iterator[Entry]:
    for file in _read(root / "model-index.yml")["Import"]:
        content = _read(root / file)
        # Some metafiles are a list of models, some have them under a key.
        for model in content if isinstance(content, list) else content.get("Models") or ():
            if isinstance(model.get("Weights"), str):
                yield Entry(
                    model["Name"], root / model["Config"], model["Weights"], DATA, _metrics(model)
                )


def _read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)


def _metrics(model: dict[str, Any]) -> dict[str, float]:
    for result in model.get("Results") or ():
        value = (result.get("Metrics") or {}).get("box AP")
        if result.get("Dataset") == "COCO" and isinstance(value, int | float):
            return {"mAP": round(value * PER_CENT, 4)}
    return {}


def check(job: Job, entry: Entry) -> None:
    """Raise CheckpointError if the published model is not that of the run.

    A state dict tells less than a config. It does not show how images are normalised, how many
    heads there are, or which convolution of a block has the stride.
    """
    others = [
        line
        for line in differences(job, entry)
        if not {*TRAINING_ONLY, *SHOWN_BY_NAMES} & {*line.partition(":")[0].split(".")}
    ]
    if others:
        raise CheckpointError(
            f"{entry.name} is of another model ({entry.config.name}): {few(others)}"
        )


def differences(job: Job, entry: Entry) -> list[str]:
    """Return ``key: theirs, here ours`` for each value in which the models' configs differ."""
    from plugins.detection.config import class_names, detector

    return list(
        _differences(
            _in_our_words(_shipped(entry).model.to_dict()),
            _complete(detector(job, len(class_names(job.data))).to_dict()),
        )
    )


def otherwise_evaluated(job: Job, entry: Entry) -> list[str]:
    """Say how the run evaluates a model otherwise than MMDetection did."""
    from plugins.detection.config import runner_config

    ours = runner_config(job)["val_dataloader"]["dataset"]
    pipeline = _shipped(entry).val_dataloader.dataset.pipeline
    theirs = [
        {key: value for key, value in step.items() if key != "backend_args"} for step in pipeline
    ]
    compared = {"pipeline": theirs, "indices": None}
    return list(_differences(compared, {key: ours.get(key) for key in compared}))


def _shipped(entry: Entry) -> Any:
    from mmengine.config import Config

    try:
        return Config.fromfile(entry.config)
    except (OSError, ImportError) as error:  # the index names some that are not shipped
        raise CheckpointError(
            f"{entry.name}: what MMDetection trained it with cannot be read: {error}"
        ) from None


def _in_our_words(model: dict[str, Any]) -> dict[str, Any]:
    """Return a config of MMDetection's with our ResNet, attention and deformable convolution."""
    from plugins.openmmlab.attention_config import DEFORMABLE, MMCV, OURS, block_arguments

    backbone = model.get("backbone")
    if backbone is None:
        return model  # another kind of model, such as one with a teacher
    if backbone["type"] == "ResNet":
        backbone["type"] = "SmallResNet"
    for plugin in backbone.get("plugins") or ():
        if plugin["cfg"]["type"] == MMCV:
            plugin["cfg"] = {"type": OURS, **block_arguments(MMCV, plugin["cfg"])}
    if (backbone.get("dcn") or {}).get("type") in ("DCN", "DCNv1", "DeformConv2dPack"):
        backbone["dcn"]["type"] = DEFORMABLE
    return _complete(model)


def _complete(model: dict[str, Any]) -> dict[str, Any]:
    """Write out the defaults that one config may name and another not."""
    from plugins.openmmlab.attention_config import OURS, block_arguments, in_words_of_modules

    backbone = model["backbone"]
    backbone.setdefault("base_channels", 64)
    for plugin in backbone.get("plugins") or ():
        kind, arguments = in_words_of_modules(plugin["cfg"])
        if kind == OURS:
            plugin["cfg"] = {"type": OURS, **block_arguments(OURS, arguments)}
    if backbone.get("dcn"):
        kind, arguments = in_words_of_modules(backbone["dcn"])
        backbone["dcn"] = {"type": kind, **arguments}
        backbone["dcn"].setdefault("deform_groups", 1)
    return model


def _differences(theirs: Any, ours: Any, at: str = "") -> Iterator[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in dict.fromkeys([*theirs, *ours]):
            yield from _differences(theirs.get(key), ours.get(key), f"{at}.{key}" if at else key)
    elif isinstance(theirs, list | tuple) and isinstance(ours, list | tuple):
        if len(theirs) != len(ours):
            yield f"{at}: {theirs}, here {ours}"
        else:
            for number, pair in enumerate(zip(theirs, ours, strict=True)):
                yield from _differences(*pair, f"{at}.{number}")
    elif theirs != ours:
        yield f"{at}: {theirs}, here {ours}"
