"""Where a mechanism can stand in a network, and what is known of it there.

Imports no torch: planning a grid asks which mechanism can stand where.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar, Self

__all__ = ["Convolution", "MapSite", "PairSite", "Place", "SequenceSite", "Site"]


class Place(Enum):
    """What a mechanism takes at a site; two mechanisms that take different places can be joined."""

    AFTER = "after the 3x3 convolution"
    INSTEAD = "instead of the 3x3 convolution"
    BRANCH = "on the branch before the residual sum"
    BACKBONE = "after the backbone"
    HEAD = "instead of the head"
    INPUT = "before the network"
    ATTENTION = "as the attention"
    BEFORE = "before the attention"
    POOL = "instead of the pooling"


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where mechanisms stand in a network; one of three kinds.

    Attributes
    ----------
    places: tuple of Place
        What mechanisms can take here.
    heads: int
        Heads of the attention, as the recipe has them.
    """

    kind: ClassVar[str]
    places: tuple[Place, ...]
    heads: int = 1

    def at(self, place: Place) -> Self:
        """Return the same site with one place alone, the one that a mechanism takes."""
        return replace(self, places=(place,))

    @property
    def place(self) -> Place:
        """The place that is taken."""
        return self.places[0]


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """The convolution that a mechanism replaces; the fields are those of ``torch.nn.Conv2d``."""

    in_channels: int
    out_channels: int
    kernel_size: int = 3
    stride: int = 1
    padding: int = 1
    dilation: int = 1
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class MapSite(Site):
    """A feature map, (N, C, H, W) in and out.

    Attributes
    ----------
    channels: int
        C; 0 where only the built network can tell.
    stride: int, optional
        Pixels of the image between two positions.
    kv_stride: int
        Positions from one key to the next, as the recipe has it.
    size: (int, int)
        H and W, while a grid is planned the largest; 0 while they are not known.
    pretrained: bool
        Whether the network around it starts from pretrained weights.
    aligned: bool
        Whether labels belong to positions of the image, as boxes do, so that nothing may be moved.
    branch_channels: int
        Channels on the branch before the residual sum, where these are others; 0: C.
    in_channels: int
        Channels of the backbone's map, of which a head makes C; 0 where they are not known.
    convolution: Convolution, optional
        The convolution that stood at the site, if the mechanism replaces one.
    """

    kind: ClassVar[str] = "map"
    places: tuple[Place, ...] = (Place.AFTER,)
    channels: int = 0
    stride: int | None = None
    kv_stride: int = 1
    size: tuple[int, int] = (0, 0)
    pretrained: bool = False
    aligned: bool = False
    branch_channels: int = 0
    in_channels: int = 0
    convolution: Convolution | None = None

    def at(self, place: Place) -> Self:
        """Return the same site with one place alone, and the channels there."""
        there = self.branch_channels if place is Place.BRANCH else 0
        return replace(self, places=(place,), channels=there or self.channels)


@dataclass(frozen=True, kw_only=True)
class SequenceSite(Site):
    """A sequence, (N, T, C) in and out, that attends to itself or to another one.

    Attributes
    ----------
    channels: int
        C; 0 where only the built network can tell.
    causal: bool
        Whether keys after the query are hidden; then the sequence may grow step by step.
    cross: bool
        Whether another sequence is attended to.
    key_channels: int, optional
        Features of that sequence; None: C.
    queries, keys: int
        Lengths; 0 while they are not known.
    """

    kind: ClassVar[str] = "sequence"
    places: tuple[Place, ...] = (Place.ATTENTION, Place.BEFORE)
    channels: int = 0
    causal: bool = False
    cross: bool = False
    key_channels: int | None = None
    queries: int = 0
    keys: int = 0


@dataclass(frozen=True, kw_only=True)
class PairSite(Site):
    """Two sets of different width, such as words and image regions.

    They are (N, T, C) and (N, S, key_channels). As the attention a mechanism returns (N, T, C);
    instead of the pooling it returns (N, C), a vector for both sets.

    Attributes
    ----------
    channels, key_channels: int
        Features of the set that asks, and of the one that is asked.
    queries, keys: int
        Their sizes T and S; 0 while they are not known. A single vector is a set of one.
    """

    kind: ClassVar[str] = "pair"
    places: tuple[Place, ...] = (Place.ATTENTION,)
    channels: int = 0
    key_channels: int | None = None
    queries: int = 0
    keys: int = 0
