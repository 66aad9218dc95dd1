"""What a config says about generalized attention, mmcv's or ours, in our words."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from plugins.attention.core.word import Word
from plugins.attention.kernels.maps.block import Block2d
from plugins.attention.mechanisms.deformable import Deformable
from plugins.attention.mechanisms.generalized import Generalized

__all__ = [
    "DEFORMABLE",
    "MMCV",
    "OURS",
    "block_arguments",
    "blocks_in",
    "in_words_of_modules",
    "parts_in",
    "parts_of",
]

MMCV = "GeneralizedAttention"
OURS = "GeneralizedAttention2d"
DEFORMABLE = "DeformableConv2d"
WORDED = "Mechanism"
"""Prefix of types whose argument is a mechanism's word, see `plugins.openmmlab.blocks`."""

MMCV_WORDS = {
    "attention_type": "terms", "num_heads": "heads", "position_embedding_dim": "position_dim"
}  # fmt: skip
MMCV_DEFAULTS = {"terms": "1111", "heads": 9, "kv_stride": 2, "q_stride": 1, "spatial_range": -1}


def blocks_in(config: str) -> list[tuple[str, dict[str, Any]]]:
    """Return type and arguments of each block of generalized attention in a config's text.

    The text is parsed, not executed. What cannot be parsed is skipped, since a text may be several
    files one after the other.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    for node in _nodes(config):
        entries = dict(_entries(node))
        # MMDetection 1 had no plugins, but an argument of the backbone.
        block = entries.get("gen_attention")
        if isinstance(block, ast.AST):
            entries = {"type": ast.Constant(MMCV), **dict(_entries(block))}
        arguments = {key: _value(value) for key, value in entries.items()}
        kind, arguments = in_words_of_modules(arguments)
        if kind in (MMCV, OURS):
            pair = (str(kind), block_arguments(str(kind), arguments))
            if pair not in found:
                found.append(pair)
    return found


def parts_in(config: str) -> set[str]:
    """Return the mechanisms that a config's text names by their words, each part by itself."""
    found = set()
    for node in _nodes(config):
        word = dict(_entries(node)).get("word")
        if word is None:
            continue
        with contextlib.suppress(ValueError):  # of another version, or a package that is not here
            found |= {str(part) for part in Word.parse(str(_value(word))).parts}
    return found


def parts_of(config: Any) -> set[str]:
    """Return what `parts_in` does, of a config itself."""
    if isinstance(config, Mapping):
        word = config.get("word")
        found = {str(part) for part in Word.parse(word).parts} if isinstance(word, str) else set()
        return found.union(*map(parts_of, config.values()))
    if isinstance(config, list | tuple):
        return set().union(*map(parts_of, config))
    return set()


def _nodes(config: str) -> Iterator[ast.AST]:
    # Early versions of MMCV wrote the name of each file above its text.
    lines = [line for line in config.splitlines() if not re.fullmatch(r"\s*[^\s=]+\.py", line)]
    try:
        yield from ast.walk(ast.parse("\n".join(lines)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return


def in_words_of_modules(config: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return type and arguments of a layer's config, or of the module of a mechanism's word."""
    arguments = dict(config)
    kind = arguments.pop("type", None)
    if not (isinstance(kind, str) and kind.startswith(WORDED)):
        return kind, arguments
    try:
        (part,) = Word.parse(str(arguments.get("word"))).parts
    except ValueError:  # from another version of the study, or a package that is not here
        return kind, arguments
    if isinstance(part, Generalized):
        used: dict[str, Any] = {
            key: arguments[key] for key in ("heads", "kv_stride") if key in arguments
        }
        return OURS, {"terms": part.terms, "spatial_range": part.spatial_range, **used}
    if isinstance(part, Deformable):
        others = ("word", "place", "heads", "kv_stride")
        return DEFORMABLE, {key: value for key, value in arguments.items() if key not in others}
    return kind, arguments


def _entries(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the entries of ``dict(...)`` or ``{...}``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        yield from ((keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return None


def block_arguments(kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of a block of generalized attention, in our words.

    Parameters
    ----------
    kind: str
        mmcv's class or ours.
    arguments: mapping
        Those that a config gives.
    """
    ours = {
        name: parameter.default
        for name, parameter in inspect.signature(Block2d.__init__).parameters.items()
        if parameter.default is not parameter.empty
    }
    if kind == MMCV:
        given = {MMCV_WORDS.get(key, key): value for key, value in arguments.items()}
        full = ours | MMCV_DEFAULTS | given
        # Its -1 is our None.
        for key, least in (("spatial_range", 0), ("position_dim", 1)):
            if isinstance(full[key], int | float) and full[key] < least:
                full[key] = None
    else:
        full = {**ours, **arguments}
    return {key: full[key] for key in ours}
