"""Mechanisms whose place within a residual block is an option. Imports no torch."""

from __future__ import annotations

from typing import Literal

from plugins.attention.core.mechanism import Mechanism
from plugins.attention.core.site import MapSite, Place, Site

__all__ = ["InBlock"]


class InBlock(Mechanism):
    """A mechanism on maps that the study and its paper have in different places of a block.

    Attributes
    ----------
    at: {"convolution", "branch"}
        Whether it stands after the 3x3 convolution, as what it is compared with, or at the end of
        the branch before the residual sum.
    """

    at: Literal["convolution", "branch"] = "convolution"

    def wanted(self, kind: type[Site]) -> tuple[Place, ...]:
        """Return the branch alone if it was asked for."""
        return (Place.BRANCH,) if self.at == "branch" else super().wanted(kind)

    def check(self, site: Site) -> None:
        """Refuse a path, which has said where: only a stage tells how wide its branches are."""
        assert isinstance(site, MapSite)
        if self.at == "branch" and not site.channels:
            raise ValueError(
                "at=branch is for stages, such as conv4; a path says itself where it leads, so"
                " leave at=branch out"
            )
