"""Where mechanisms stand in a network that answers questions. Imports no framework."""

from __future__ import annotations

from plugins.attention.core.site import PairSite, Place, Site
from plugins.openmmlab import sites as common
from plugins.openmmlab.backbone import BASIC_DEPTHS
from plugins.question_answering.recipe import Recipe

__all__ = ["POOL", "SITES", "pair", "site"]

POOL = "pool"
"""Where the words of a question meet the cells of its image."""

SITES = (POOL, *common.STAGES)


def pair(channels: int, key_channels: int, heads: int) -> PairSite:
    """Return the site of words and cells; their numbers are not known."""
    return PairSite(
        places=(Place.POOL, Place.ATTENTION),
        channels=channels,
        key_channels=key_channels,
        heads=heads,
    )


def site(name: str, recipe: Recipe) -> Site:
    """Return the pair of words and cells, a stage, or a module of the visual network.

    Raises
    ------
    ValueError
        If the network has no such site.
    """
    if recipe.network == "question_only":
        raise ValueError("network question_only sees no image, so nothing can attend to one")
    if name == POOL:
        return pair(recipe.channels, recipe.cell_channels, recipe.heads)
    if recipe.takes_features:
        raise ValueError(f"network features has no map to attend to at {name!r}, only {POOL!r}")
    stages = common.STAGES[: recipe.stages]
    if name in common.STAGES and name not in stages:
        raise ValueError(f"no site {name!r} with stages {recipe.stages}: {', '.join(stages)}")
    return common.site(
        name,
        recipe.base_channels,
        recipe.depth if recipe.network == "resnet" else BASIC_DEPTHS[0],
        recipe.heads,
        recipe.kv_stride,
        [recipe.stride * 2**stage for stage in range(4)],
        image=recipe.image_size,
        pretrained=recipe.pretrained is not None,
    )
