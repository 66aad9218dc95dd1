"""A head of MMSegmentation's as a mechanism. Imports no framework."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism, Places
from plugins.attention.core.site import MapSite, Place, Site
from plugins.openmmlab.heads.table import HEADS, Shipped

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Head"]

WIDENING = 4
"""Channels of the backbone to one of the head in MMSegmentation's configs, 2048 to 512."""


class Head(Mechanism):
    """A head that gathers context, with the losses and the numbers of its shipped config."""

    shipped: ClassVar[Shipped]
    places: ClassVar[Places] = {MapSite: (Place.HEAD,)}

    @classmethod
    @functools.cache
    def named(cls, name: str) -> type[Mechanism]:
        """Return the class of one head."""
        shipped = HEADS[name]
        said = {key: getattr(shipped, key) for key in ("formula", "paper", "url")}
        attributes = {"name": name, "shipped": shipped, "__module__": __name__, **said}
        return type(f"Head_{name}", (cls,), attributes)

    def check_batch(self, images: int) -> None:
        """Refuse a batch, or a part of one, whose pooled features have no variance."""
        if images < self.shipped.images:
            raise ValueError(
                f"{self.name} normalises a mean over the whole map, so that a part of a batch needs"
                f" {self.shipped.images} images in training, not {images}; a larger batch_size or a"
                " smaller accumulate would do"
            )

    def build(self, site: Site) -> nn.Module:
        """Return MMSegmentation's head, which maps the backbone's list of maps to logits.

        The widths and the size are the site's; all else is as shipped.
        """
        assert isinstance(site, MapSite)
        from plugins.openmmlab.heads.building import build

        return build(self, self.shipped, site)

    def cost(self, site: Site) -> ClosedForm:
        """Return the closed form of what counts as the mechanism."""
        assert isinstance(site, MapSite)
        wide = site.in_channels or WIDENING * site.channels
        return self.shipped.cost(*site.size, site.channels, wide)

    def weights(
        self, module: Any, *inputs: Tensor, queries: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Tensor]:
        """Return the weights of `queries`, of those parts of a head that have such."""
        from plugins.openmmlab.heads.looking import weights

        return weights(module, inputs[0], queries)
