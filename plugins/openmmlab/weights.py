"""Weights from a file, of another run or another program, put into a model.

A state dict tells how wide a layer is. It does not tell how many heads divide it or at which stride
keys are taken. The terms 1011, 0111 and 1111 even have parameters of the same names and shapes. So
the config in the file is compared with the model too.

mmcv's ``GeneralizedAttention`` has the parameters of ours, with two exceptions. It computes the
terms 0100, 0110, 1100 and 1110 wrongly, so weights trained with it mean something else here. And
its window of keys within ``spatial_range`` reaches one position farther on one side. Both are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from plugins.attention.kernels.maps.block import Block2d
from plugins.contracts.job import CheckpointError
from plugins.openmmlab.attention_config import MMCV, blocks_in, parts_in
from plugins.openmmlab.checkpoints import read as read_file
from plugins.training.checkpoints import entry, few, misfits, parameters, unreadable

__all__ = ["Weights", "load", "read", "renamed"]

WRONG_TERMS = ("0100", "0110", "1100", "1110")
"""E2 without E4: mmcv adds the row's energies of a transposed query."""

OLD_OFFSET = re.compile(r"(?<=conv2)_offset(?=\.(weight|bias)$)")
"""MMDetection 1's name for ``conv2.conv_offset`` of a deformable convolution."""

STAGE = re.compile(r"backbone\.layer(?P<layer>\d)\.")
"""A parameter in a ResNet's stage."""

KINDS = {"gen_attention_block": "attention", "conv_offset": "deformable convolution"}
"""Modules that stand in some stages, as they are named in a model and in a message."""

WINDOW = (
    "mmcv's attention with a spatial range, whose window reaches one position farther on one side;"
    " here the weights would mean something else"
)


@dataclass(frozen=True)
class Weights:
    """What was read from a checkpoint.

    Attributes
    ----------
    path: Path
        The file.
    state: dict of str to Tensor
        The parameters and buffers, by their names in our models.
    classes: tuple of str, optional
        The classes that the model was trained on, if the file has them.
    config: str, optional
        The text of the config that it was trained with, if the file has it. Never executed.
    """

    path: Path
    state: dict[str, Tensor]
    classes: tuple[str, ...] | None
    config: str | None


def read(path: Path) -> Weights:
    """Read a checkpoint of MMEngine or MMCV, without executing what it holds.

    Raises
    ------
    CheckpointError
        If it cannot be read in this way, or is no checkpoint.
    """
    try:
        content = read_file(path)
    except Exception as error:  # wrong bytes can raise anything in the unpickler
        raise unreadable(path, error) from None
    wanted = "a checkpoint of MMEngine is a dict with 'state_dict' and 'meta'"
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} is no checkpoint: it holds an object of type {type(content).__name__};"
            f" {wanted}"
        )
    if "state_dict" in content:
        state = parameters(path, content["state_dict"], "its 'state_dict'")
    elif all(isinstance(value, Tensor) for value in content.values()):
        state, content = parameters(path, content, "it"), {}
    else:
        raise CheckpointError(
            f"{path} is no checkpoint: it has no 'state_dict', but {few(content)}; {wanted}"
        )
    meta = entry(path, content, "meta", dict) or {}
    data = entry(path, meta, "dataset_meta", dict) or {}
    entries = ((meta, "CLASSES"), (data, "classes"), (data, "CLASSES"))
    named = [entry(path, holder, key, tuple, list, str) for holder, key in entries]
    classes = next(filter(None, named), None)
    config = entry(path, meta, "cfg", str, dict) or entry(path, meta, "config", str, dict)
    return Weights(
        path,
        renamed(state),
        (classes,) if isinstance(classes, str) else classes and tuple(classes),
        repr(config) if isinstance(config, dict) else config,
    )


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with the names that our models give their parameters.

    mmcv's attention and deformable convolution have the same names. Two things differ: a parallel
    model saves all names with ``module.`` before them, and MMDetection 1 named the offsets
    otherwise. mmcv's module renames the offsets too, but a current torch does not pass them to it.

    Raises
    ------
    CheckpointError
        If mmcv's window is among the parameters.
    """
    if windows := [name for name in state if name.endswith(".local_constraint_map")]:
        raise CheckpointError(f"{windows[0]}: this is {WINDOW}")
    return {
        OLD_OFFSET.sub(".conv_offset", name.removeprefix("module.")): value
        for name, value in state.items()
    }


def load(
    model: nn.Module,
    weights: Weights,
    classes: Sequence[str],
    parts: Collection[str] | None = None,
) -> None:
    """Put weights into a model, all of them and no others.

    Parameters
    ----------
    model: nn.Module
        A detector or segmentor. It stays as it is if the weights are refused.
    weights: Weights
        What was read.
    classes: sequence of str
        The classes of the model.
    parts: collection of str, optional
        The words of its mechanisms. Some differ in options that no parameter shows.

    Raises
    ------
    CheckpointError
        If a parameter is missing, left over or of another shape; if the classes differ; if the
        attention was configured differently, or is one that mmcv computes wrongly; if the config
        names other mechanisms.
    """
    if weights.classes is not None and tuple(weights.classes) != tuple(classes):
        raise CheckpointError(
            f"{weights.path} was trained to tell other classes apart: {few(weights.classes)};"
            f" the data set has {few(classes)}"
        )
    _check_attention(model, weights)
    if parts is not None:
        _check_parts(model, weights, {*parts})
    own, given = model.state_dict(), weights.state
    if parts := misfits(own, given):
        parts += _moved(own, given)
        raise CheckpointError(f"{weights.path} is of another model: {'; '.join(parts)}")
    model.load_state_dict(given, strict=True)


def _check_attention(model: nn.Module, weights: Weights) -> None:
    said = blocks_in(weights.config or "")
    for kind, arguments in said:
        if kind == MMCV and arguments["terms"] in WRONG_TERMS:
            raise CheckpointError(
                f"{weights.path} was trained with mmcv's {MMCV} and the terms"
                f" {arguments['terms']}, which it computes wrongly; here the weights would mean"
                " something else"
            )
        if kind == MMCV and arguments["spatial_range"] is not None:
            raise CheckpointError(f"{weights.path} was trained with {WINDOW}")
    # The names show E2 without E4, but not whose attention it was.
    encoded = [name for name in weights.state if name.endswith(".appr_geom_fc_x.weight")]
    blocks = [name.removesuffix(".appr_geom_fc_x.weight") for name in encoded]
    unclear = [name for name in blocks if f"{name}.geom_bias" not in weights.state]
    if unclear and not said:
        raise CheckpointError(
            f"{weights.path} has attention with E2 and without E4 ({unclear[0]}) and no config that"
            f" says whose it was: mmcv's {MMCV} computes these terms wrongly. If it was ours, take"
            " the checkpoint with its 'meta'"
        )
    for name, block in model.named_modules():
        if isinstance(block, Block2d):
            for _, arguments in said:
                _compare(weights.path, name, block, arguments)


def _check_parts(model: nn.Module, weights: Weights, here: set[str]) -> None:
    if weights.config is None:
        return
    there = parts_in(weights.config)
    # A config of others has no words: what it has is known by its parameters, unless it has none.
    blocks = [block for block in model.modules() if hasattr(block, "mechanism")]
    bare = {str(block.mechanism) for block in blocks if not [*block.parameters()]}
    if there - here or (here - there if there else bare):
        ours, theirs = (", ".join(sorted(words)) or "none" for words in (here, there))
        raise CheckpointError(f"{weights.path} was trained with {theirs}, and the run has {ours}")


def _compare(path: Path, name: str, block: Block2d, said: Mapping[str, Any]) -> None:
    expected = {**said, "position_dim": said["position_dim"] or block.channels}
    others = [
        f"{key} {value!r} instead of {getattr(block, key)!r}"
        for key, value in expected.items()
        if value != getattr(block, key)
    ]
    if others:
        raise CheckpointError(
            f"{path} was trained with other attention than {name} is: {', '.join(others)}"
        )


def _moved(own: Iterable[str], given: Iterable[str]) -> list[str]:
    """Say which kinds of module stand in other stages than in the model."""
    here, there = _stages(own), _stages(given)
    parts = []
    for module, words in KINDS.items():
        ours, theirs = here.get(module, []), there.get(module, [])
        if ours != theirs:
            stages = (", ".join(found) or "no stage" for found in (theirs, ours))
            parts.append("{} stands in {} there, in {} here".format(words, *stages))
    return parts


def _stages(names: Iterable[str]) -> dict[str, list[str]]:
    stages: dict[str, set[str]] = {}
    for name in names:
        if (match := STAGE.match(name)) is not None:
            for module in KINDS:
                if f".{module}." in name:
                    stages.setdefault(module, set()).add(f"conv{int(match['layer']) + 1}")
    return {module: sorted(found) for module, found in stages.items()}
