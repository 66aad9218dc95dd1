"""Where mechanisms stand in a segmentation model. Imports no framework."""

from __future__ import annotations

from plugins.attention.core.site import MapSite, Place
from plugins.openmmlab import sites as common
from plugins.openmmlab.backbone import expansion
from plugins.segmentation.recipe import Recipe

__all__ = ["HEAD", "SITES", "site"]

HEAD = "head"
"""Between the two convolutions of the head, which both stay, or instead of the head."""

SITES = (*common.STAGES, HEAD, common.IMAGE)

STRIDES = (4, 8, 8, 8)  # of the dilated backbone


def site(name: str, recipe: Recipe) -> MapSite:
    """Return a stage, the head, the image, or a module of the backbone.

    Raises
    ------
    ValueError
        If the network has no such site.
    """
    if name == HEAD:
        return MapSite(
            places=(Place.BACKBONE, Place.HEAD),
            channels=recipe.head_channels,
            in_channels=recipe.base_channels * expansion(recipe.depth) * 2**3,
            stride=STRIDES[-1],
            size=(-(-recipe.crop[0] // STRIDES[-1]), -(-recipe.crop[1] // STRIDES[-1])),
            heads=recipe.heads,
            kv_stride=recipe.kv_stride,
            aligned=True,
        )
    return common.site(
        name,
        recipe.base_channels,
        recipe.depth,
        recipe.heads,
        recipe.kv_stride,
        STRIDES,
        image=recipe.crop,
        pretrained=recipe.pretrained is not None,
        aligned=True,
    )
