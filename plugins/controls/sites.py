"""Where mechanisms stand in the network of a control. Imports no framework."""

from __future__ import annotations

from plugins.attention.core.site import MapSite, Place
from plugins.controls.scenes import CELLS

__all__ = ["SITE", "cells"]

SITE = "cells"


def cells(channels: int, heads: int, kv_stride: int) -> MapSite:
    """Return the map of the cells, a position each."""
    return MapSite(
        places=(Place.AFTER, Place.INSTEAD),
        channels=channels,
        stride=1,
        heads=heads,
        kv_stride=kv_stride,
        size=(CELLS, CELLS),
    )
