"""Put blocks into any backbone, at modules named by their paths.

OpenMMLab's own ``plugins=`` knows only the bottleneck of a ResNet. With ``WithBlocks`` as the
backbone's type, and the former type as ``backbone``, a config can have a block wherever a feature
map passes from one module to the next: ::

    custom_imports = dict(imports=["plugins.openmmlab.blocks"])
    block = dict(type="GeneralizedAttention2d", terms="0010", heads=8, kv_stride=2)
    model = dict(backbone=dict(
        type="WithBlocks",
        backbone="ResNet",
        depth=18,
        insert=[dict(before="layer[34].*.conv2", cfg=block)],
    ))

Parameters of the backbone keep their names, so that its checkpoints load.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

__all__ = ["insert_blocks", "with_blocks"]

POSITIONS = ("before", "after", "instead_of")

PROBE = 64
"""Side of the image that shows how many channels pass where. Every stage must see some pixels."""

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""These would call an added child as one of their own."""


@MODELS.register_module("WithBlocks")
def with_blocks(backbone: str, insert: Sequence[dict[str, Any]], **arguments: Any) -> nn.Module:
    """Build a backbone and put blocks into it.

    Parameters
    ----------
    backbone: str
        Its type.
    insert: sequence of dict
        What to put where, see :func:`insert_blocks`.
    **arguments
        Those of the backbone.
    """
    model: nn.Module = MODELS.build({"type": backbone, **arguments})
    return insert_blocks(model, insert)


def insert_blocks(model: nn.Module, insertions: Sequence[dict[str, Any]]) -> nn.Module:
    """Put blocks into a model that takes images of three channels; return it.

    Parameters
    ----------
    model: nn.Module
        Is changed.
    insertions: sequence of dict
        Each has ``cfg``, the config of a block without its channels, and one of

        ``before``
            Path of modules whose first argument goes through a block.
        ``after``
            Path of modules whose result goes through a block.
        ``instead_of``
            Path of convolutions that the block replaces, with their shape and weight.

        A path is that of ``named_modules``; ``*``, ``?`` and ``[...]`` stand for letters between
        two dots. Each module gets a block of its own, named as OpenMMLab names plugins. The block
        belongs to the module around it; within a list of modules, to the module itself, or, if that
        is a single layer, to the next one outside that MMEngine initialises. Feature maps are
        (N, C, H, W), or (N, H * W, C) where the module is also given the pair (H, W).

    Raises
    ------
    ValueError
        If a path leads to no module, or to one that passes no feature map on.
    """
    for insertion in insertions:
        position, pattern = _position(insertion)
        names = _matching(model, pattern)
        if position == "instead_of":
            for name in names:
                _replace(model, name, insertion["cfg"])
        else:
            channels = _probe(model, names, position)
            for name in names:
                _attach(model, name, position, {**insertion["cfg"], "in_channels": channels[name]})
    return model


def _position(insertion: dict[str, Any]) -> tuple[str, str]:
    positions = [key for key in insertion if key != "cfg"]
    if len(positions) != 1 or positions[0] not in POSITIONS or "cfg" not in insertion:
        raise ValueError(f"an insertion has 'cfg' and one of {', '.join(POSITIONS)}: {insertion}")
    return positions[0], insertion[positions[0]]


def _matching(model: nn.Module, pattern: str) -> list[str]:
    """Return the names of the modules at a path, whose steps may be patterns."""
    steps, every = pattern.split("."), [name for name, _ in model.named_modules() if name]
    names = []
    for name in every:
        parts = name.split(".")
        if len(parts) == len(steps) and all(map(fnmatchcase, parts, steps)):
            names.append(name)
    if not names:
        near = difflib.get_close_matches(pattern, every, n=1, cutoff=0)
        raise ValueError(f"no module {pattern!r} in {type(model).__name__}; is it {near[0]!r}?")
    return names


def _probe(model: nn.Module, names: Sequence[str], position: str) -> dict[str, int]:
    """Return how many channels pass at each module."""
    channels: dict[str, int] = {}

    def see(name: str) -> Any:
        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            channels[name] = _Insertion.channels(name, args[0] if args else None)

        def after(module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            channels[name] = _Insertion.channels(name, out)

        module = model.get_submodule(name)
        if position == "before":
            return module.register_forward_pre_hook(before, with_kwargs=True)
        return module.register_forward_hook(after, with_kwargs=True)

    hooks = [see(name) for name in names]
    try:
        with _evaluating(model), torch.no_grad():
            model(torch.zeros(1, 3, PROBE, PROBE))
    finally:
        for hook in hooks:
            hook.remove()
    if unused := [name for name in names if name not in channels]:
        raise ValueError(f"{type(model).__name__} does not call its module {unused[0]!r}")
    return channels


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    # model.train() does not serve: in a backbone it does more than a second call undoes.
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


def _attach(model: nn.Module, name: str, position: str, cfg: dict[str, Any]) -> None:
    module, block = model.get_submodule(name), MODELS.build(cfg)
    host = _host(model, name)
    mechanism = getattr(block, "mechanism", None)
    called = mechanism.called() if mechanism else _abbreviation(block)
    last = name.rpartition(".")[2]
    own = f"{last}_{called}"
    more = (f"{own}_{number}" for number in itertools.count(2))
    names = itertools.chain((called, own), more)
    host.add_module(next(each for each in names if not hasattr(host, each)), block)
    hook = _Insertion(name, block)
    if position == "before":
        module.register_forward_pre_hook(hook.before, with_kwargs=True)
    else:
        module.register_forward_hook(hook.after, with_kwargs=True)


def _host(model: nn.Module, name: str) -> nn.Module:
    """Return the module that a block at another belongs to.

    MMEngine initialises convolutions wherever they are, those of a block too, and then the modules
    inside, but only those that it reaches through others with ``init_weights``. So a block at a
    layer of a list belongs to one of these, if there is one: then it has the last word.
    """
    around = name.rpartition(".")[0]
    host, module = model.get_submodule(around), model.get_submodule(name)
    if not isinstance(host, CONTAINERS):
        return host
    if any(True for _ in module.children()):
        return module
    while around and not hasattr(model.get_submodule(around), "init_weights"):
        around = around.rpartition(".")[0]
    outer = model.get_submodule(around)
    return outer if hasattr(outer, "init_weights") else module


def _abbreviation(block: nn.Module) -> str:
    called: str = getattr(block, "_abbr_", type(block).__name__.lower())
    return called


def _replace(model: nn.Module, name: str, cfg: dict[str, Any]) -> None:
    conv = model.get_submodule(name)
    if not isinstance(conv, nn.Conv2d) or conv.groups != 1 or isinstance(conv.padding, str):
        raise ValueError(f"{name!r} is no convolution that a block can take the place of: {conv}")
    shape = {key: getattr(conv, key) for key in ("kernel_size", "stride", "padding", "dilation")}
    if uneven := [key for key, pair in shape.items() if pair[0] != pair[1]]:
        raise ValueError(f"{name!r} has an uneven {uneven[0]}: {shape[uneven[0]]}")
    block = MODELS.build(
        {
            **cfg,
            "in_channels": conv.in_channels,
            "out_channels": conv.out_channels,
            **{key: pair[0] for key, pair in shape.items()},
            "bias": conv.bias is not None,
        }
    )
    block.load_state_dict(conv.state_dict(), strict=False)
    around, _, last = name.rpartition(".")
    setattr(model.get_submodule(around), last, block)


class _Insertion:
    """The hooks that lead a feature map through a block.

    They are methods, not functions: a copy of the model then has hooks that know its own block.
    """

    def __init__(self, name: str, block: nn.Module) -> None:
        self.name, self.block = name, block

    def before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        first, *others = args
        return (self._through(first, others, kwargs), *others), kwargs

    def after(self, module: nn.Module, args: Any, kwargs: dict[str, Any], out: Any) -> Any:
        return self._through(out, args, kwargs)

    @staticmethod
    def channels(name: str, features: Any) -> int:
        """Return C of (N, C, H, W) or (N, H * W, C)."""
        if not isinstance(features, Tensor) or features.dim() not in (3, 4):
            shape = tuple(getattr(features, "shape", ()))
            found = f"{type(features).__name__} {shape or ''}".strip()
            raise ValueError(f"at {name!r} no feature map passes, but {found}")
        return features.shape[1 if features.dim() == 4 else 2]

    def _through(self, features: Tensor, others: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        if features.dim() == 4:
            out: Tensor = self.block(features)
            return out
        pixels = features.shape[1]
        for size in (*others, *kwargs.values()):
            if isinstance(size, tuple | list | torch.Size) and len(size) == 2:
                height, width = size
                if height * width == pixels:
                    image = features.transpose(1, 2).unflatten(2, (height, width))
                    return self.block(image).flatten(2).transpose(1, 2)
        raise ValueError(f"{self.name!r} passes {pixels} pixels on, and is not told their (H, W)")
