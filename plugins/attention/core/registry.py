"""The mechanisms by name: what builds each, what it costs, where it comes from.

A mechanism is one class in one file of :mod:`plugins.attention.mechanisms`;
``docs/mechanisms.md`` shows how to add one. Imports no torch: planning a grid needs the names.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from plugins.attention.core.word import Mechanism  # which asks here for names

__all__ = ["ClosedForm", "Registered", "layer_cost", "register", "registered", "words"]

DEFORMABLE = "+deformable"
"""Registered like a mechanism for its cost and citation; as a word it is only a suffix."""

_NAME = re.compile(r"[a-z][a-z0-9_]*|[01]{4}")


@dataclass(frozen=True)
class ClosedForm:
    """Canonical cost: multiply-accumulates and parameters, computed from shapes alone.

    Attributes
    ----------
    products: tuple of (str, int)
        The products of the definition, each as text in the symbols of ``docs/mechanisms.md``
        (such as ``N C²``) and as a number of multiply-accumulates.
    parameters: int
        Parameters that the mechanism adds to the model without it.
    """

    products: tuple[tuple[str, int], ...]
    parameters: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one input."""
        return sum(macs for _, macs in self.products)

    def __add__(self, other: ClosedForm) -> ClosedForm:
        return ClosedForm(self.products + other.products, self.parameters + other.parameters)

    def __str__(self) -> str:
        """Return the formula: ``2 N C² + P C``."""
        times = Counter(text for text, _ in self.products)
        return " + ".join(text if n == 1 else f"{n} {text}" for text, n in times.items()) or "0"


class Registered:
    """What a mechanism's class tells; derive from it and decorate with :func:`register`.

    Attributes
    ----------
    formula: str
        The weight of a key k for a query q, or the output.
    paper, url: str
        The source.
    ranged: bool
        Whether the word may have a range, ``@k``.
    block: str, optional
        Dotted name of the module for feature maps, (N, C, H, W) to (N, C, H, W). OpenMMLab's
        backbones build it as ``Block(in_channels=C, **block_arguments(...))``. None: there is none.
    sequence: str, optional
        Dotted name of the module for sequences, built as ``Module(C, **sequence_arguments(...))``.
        It has the methods of ``GeneralizedAttention1d``, or, if `framed`, those of
        ``DynamicConv1d``. None: there is none.
    framed: bool
        Whether the module for sequences stands between two projections, the first of them gated,
        as in Wu et al. 2019. It then serves self-attention only.
    """

    formula: str = ""
    paper: str = ""
    url: str = ""
    ranged: ClassVar[bool] = False
    block: ClassVar[str | None] = None
    sequence: ClassVar[str | None] = None
    framed: ClassVar[bool] = False

    def __init__(self, word: str) -> None:
        self.word = word

    def block_arguments(self, mechanism: Mechanism, heads: int, kv_stride: int) -> dict[str, Any]:
        """Return the arguments of the block besides the channels.

        Raises
        ------
        ValueError
            If there is no such block.
        """
        return {}

    def block_cost(self, *args: Any, **kwargs: Any) -> ClosedForm:
        """Return the closed form, ``block_cost(self, size, channels, *, ...)``.

        `size` is (H, W). Each argument after the asterisk names an attribute of the block, and
        has a default if `block_arguments` leaves it out.
        """
        raise NotImplementedError

    def sequence_arguments(
        self, mechanism: Mechanism, heads: int, causal: bool, key_channels: int | None
    ) -> dict[str, Any]:
        """Return the arguments of the module for sequences besides the channels.

        `causal` says that keys behind the query are hidden, and `key_channels` how many features
        the sequence attended to has, if that is another.
        """
        return {}

    def sequence_cost(self, *args: Any, **kwargs: Any) -> ClosedForm:
        """Return the closed form, ``sequence_cost(self, queries, keys, channels, *, causal, ...)``.

        `queries` and `keys` are lengths; further arguments are those of `sequence_arguments`.
        """
        raise NotImplementedError


Class = TypeVar("Class", bound=type[Registered])

_kinds: dict[str, Registered] = {}


def register(*names: str) -> Callable[[Class], Class]:
    """Register a class of mechanisms under its words; the decorated class is made once for each.

    Raises
    ------
    ValueError
        If a name is taken or no word, or if module, cost or citation is missing.
    """

    def add(kind: Class) -> Class:
        made = {name: kind(name) for name in names}
        for name, instance in made.items():
            _check(name, instance)
        _kinds.update(made)
        return kind

    return add


def registered(word: str) -> Registered:
    """Return what is registered under a mechanism's base word, or `DEFORMABLE`."""
    _discover()
    return _kinds[word]


def words() -> tuple[str, ...]:
    """Return all base words of mechanisms, sorted, the names after the term sets."""
    _discover()
    return tuple(sorted(word for word in _kinds if word != DEFORMABLE))


def layer_cost(
    mechanism: Mechanism,
    queries: int,
    keys: int,
    *,
    channels: int,
    heads: int,
    causal: bool = False,
    key_channels: int | None = None,
) -> ClosedForm:
    """Return the closed form of all that a mechanism brings into one layer of a sequence model.

    That includes the projections of a `framed` module and the deformable unit before it.
    """
    cost = ClosedForm((), 0)
    if mechanism.deformable:
        cost += registered(DEFORMABLE).sequence_cost(queries, keys, channels, causal=causal)
    if mechanism.base != "none":
        kind = registered(mechanism.base)
        arguments = kind.sequence_arguments(mechanism, heads, causal, key_channels)
        cost += kind.sequence_cost(queries, keys, channels, **{"causal": causal} | arguments)
        if kind.framed:
            weights = 3 * channels**2  # C to 2 C, halved by the gate, and C to C
            cost += ClosedForm((("3 N C²", queries * weights),), weights + 3 * channels)
    return cost


@functools.cache
def _discover() -> None:
    """Import every file of the folder of mechanisms, which registers them."""
    package = importlib.import_module("plugins.attention.mechanisms")
    for file in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{file.name}")


def _check(name: str, kind: Registered) -> None:
    who = f"{type(kind).__module__}.{type(kind).__qualname__}"
    if name in _kinds:
        owner = type(_kinds[name])
        raise ValueError(f"{who}: {name!r} is taken by {owner.__module__}.{owner.__qualname__}")
    if not (_NAME.fullmatch(name) or name == DEFORMABLE):
        raise ValueError(
            f"{who}: {name!r} is no name for a mechanism: a small letter, then small letters, "
            "digits and underscores"
        )
    for citation in ("formula", "paper", "url"):
        if not getattr(kind, citation):
            raise ValueError(f"{who}: mechanism {name!r} has no {citation!r}")
    if name != "none" and kind.block is None and kind.sequence is None:
        raise ValueError(f"{who}: mechanism {name!r} has neither 'block' nor 'sequence'")
    for module, cost in (("block", "block_cost"), ("sequence", "sequence_cost")):
        if getattr(kind, module) and getattr(type(kind), cost) is getattr(Registered, cost):
            raise ValueError(f"{who}: mechanism {name!r} has a {module!r} but no {cost!r}")
