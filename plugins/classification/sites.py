"""Where mechanisms stand in a classifier. Imports no framework."""

from __future__ import annotations

from plugins.attention.core.site import MapSite
from plugins.classification.recipe import Recipe
from plugins.openmmlab import sites as common

__all__ = ["SITES", "site"]

SITES = (*common.STAGES, common.IMAGE)


def site(name: str, recipe: Recipe) -> MapSite:
    """Return a stage, the image, or a module of the backbone.

    Raises
    ------
    ValueError
        If the network has no such site.
    """
    return common.site(
        name,
        recipe.base_channels,
        recipe.depth,
        recipe.heads,
        recipe.kv_stride,
        [recipe.stride * 2**stage for stage in range(4)],
        image=recipe.crop,
        pretrained=recipe.pretrained is not None,
    )
