"""What a mechanism is: one class in one file, found by the entry point ``study.mechanisms``.

Planning, counting and building ask this class and nothing else. It imports no torch; only the
method that builds the module does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.site import Place, Site

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["NAME", "Mechanism", "Places"]

Places = Mapping[type[Site], tuple[Place, ...]]

NAME = re.compile(r"[a-z][a-z0-9_]*|[01]{4}")
"""Names of mechanisms: they need no quotes in YAML or a shell, and are safe in a file's name."""


class Mechanism(BaseModel):
    """A mechanism with its options, which are its fields.

    In a grid an option is written ``name:option=value``, as in ``squeeze_excite:reduction=8``; an
    option with its default is left out. The option ``spatial_range`` is written ``name@3``.

    Attributes
    ----------
    name: str
        Its word, which is also the name of its entry point.
    version: int
        Grows when the same word means another training. This renames the runs of this mechanism and
        no others.
    formula: str
        The weight of a key k for a query q, or the output.
    paper, url: str
        The source.
    places: mapping of type to tuple of Place
        The kinds of site where it stands, and the places that it can take there, the usual one
        first.
    uses: frozenset of str
        The fields of a recipe that it depends on, among those that only mechanisms read.
    beside: bool
        Whether it is written behind another word, or behind ``none``: ``none+deformable``.
    module_name: str
        The name of its module within the layer of a network that it stands in; by default `name`.
    of_values: tuple of str
        The names of those parts of its module that `energies` does without.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: ClassVar[str]
    version: ClassVar[int] = 1
    formula: ClassVar[str]
    paper: ClassVar[str]
    url: ClassVar[str]
    places: ClassVar[Places]
    uses: ClassVar[frozenset[str]] = frozenset()
    beside: ClassVar[bool] = False
    module_name: ClassVar[str] = ""
    of_values: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def named(cls, name: str) -> type[Mechanism]:
        """Return the class for one of the names that the class is registered under."""
        return cls

    @classmethod
    def called(cls) -> str:
        """Return the name of its module within a layer."""
        return cls.module_name or cls.name

    def wanted(self, kind: type[Site]) -> tuple[Place, ...]:
        """Return the places that it takes at sites of a kind, the usual one first."""
        return self.places.get(kind, ())

    def place(self, site: Site) -> Place | None:
        """Return the place that it takes at a site, None if there is none for it."""
        return next((place for place in self.wanted(type(site)) if place in site.places), None)

    def check(self, site: Site) -> None:
        """Raise ValueError if it cannot stand at a site, for a reason beyond its kind and place."""

    def build(self, site: Site) -> nn.Module:
        """Return the module for a site, whose `place` is the one that is taken.

        For a `MapSite` it maps (N, C, H, W) to that shape, unless it replaces a head. A module that
        replaces a convolution does what ``site.convolution`` says, and gets the convolution's
        weight if its own state dict has one of the same name. For a `SequenceSite` it is a
        :class:`~plugins.attention.core.sequence.SequenceModule`. For a `PairSite` it is called with
        (N, T, C) and (N, S, key_channels), and with ``key_padding_mask`` (N, S), true where there
        is nothing to attend to. There it returns (N, T, C) as the attention. At the place ``POOL``
        it is also given ``query_padding_mask`` (N, T), and returns (N, C). Either mask may be None.
        If it has an attribute ``shares_memory`` that is true, several queries may have one row of
        the second set, which is (M, S, key_channels) then: ``memory_rows`` (N,) are their numbers.

        A module may have a method ``own_loss()``, which returns a loss to add to the task's, or
        None. It may have attributes ``training_step`` and ``training_steps``. They are set before
        each step of a training, to the number of steps made and the number in all (None if
        unknown).
        """
        raise NotImplementedError

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form for one input at a site whose sizes are known."""
        raise NotImplementedError

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return what there is to look at, by name; nothing by default.

        ``weights``, for feature maps, are (N, heads, queries, Hk, Wk) for the `queries` (row,
        column). ``crop`` are the corners of a part of the map, (N, 4, 2): x and y from 0 to 1, the
        upper left one first. Other names are the mechanism's: a gate is (N, C), a mask (N, H, W).

        Of a pair of sets the `inputs` are both, and then, if wanted, ``key_padding_mask`` and
        ``query_padding_mask``, and ``memory_rows`` of a module that shares them. ``weights`` are
        (N, heads, T, S), with T = 1 if they are the same for all queries, and a mask is (N, S).
        """
        return {}

    def no_energies(self) -> str:
        """Say why it has no `energies`; empty if it has."""
        return f"{self.name} has no weights by word and box before a softmax"

    def energies(
        self,
        module: Any,
        query: Tensor,
        memory: Tensor,
        key_padding_mask: Tensor | None = None,
        query_padding_mask: Tensor | None = None,
        memory_rows: Tensor | None = None,
    ) -> Tensor:
        """Return by what a softmax would weigh each of `memory` for the last word, (N, S).

        For a `PairSite`, whose sets and masks these are. What padding has means nothing. A module
        that does not share `memory` gets no `memory_rows`.
        """
        raise NotImplementedError

    def options(self) -> dict[str, str]:
        """Return the options with other than their defaults, as written, without the range."""
        fields = type(self).model_fields
        return {
            name: _written(getattr(self, name))
            for name in fields
            if name != "spatial_range" and getattr(self, name) != fields[name].default
        }

    def __str__(self) -> str:
        options = "".join(f":{name}={value}" for name, value in self.options().items())
        within = getattr(self, "spatial_range", None)
        return self.name + options + ("" if within is None else f"@{within}")


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = f"{value:g}" if float(f"{value:g}") == value else repr(value)
        return text.replace("e+", "e")  # a plus joins mechanisms
    return str(value)
