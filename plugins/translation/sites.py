"""Where attention stands in a translation model, and which mechanism can stand there.

Imports no torch: planning a grid needs these checks.
"""

from __future__ import annotations

from collections.abc import Sequence

from plugins.attention.core.word import Mechanism

__all__ = ["DEFAULT_SITES", "PLACES", "SITES", "check_sites", "places"]

SITES: tuple[str, ...] = ("encoder", "decoder", "self", "cross")
"""Self-attention of the encoder, of the decoder, of both; attention of the decoder to the source.
"""

DEFAULT_SITES: tuple[str, ...] = ("self",)

PLACES: tuple[str, ...] = ("encoder", "decoder", "cross")
"""The sites that do not overlap."""


def places(sites: Sequence[str]) -> frozenset[str]:
    """Resolve sites to a subset of :data:`PLACES`."""
    return frozenset(
        place for site in sites for place in (("encoder", "decoder") if site == "self" else (site,))
    )


def check_sites(mechanism: Mechanism, sites: Sequence[str]) -> None:
    """Raise ValueError if a translation model cannot have `mechanism` at `sites`.

    Parameters
    ----------
    mechanism: Mechanism
        What attends.
    sites: sequence of str
        Some of :data:`SITES`. Each choice has one spelling: ``self`` for encoder and decoder.
    """
    if not sites:
        raise ValueError(f"no site given; translation has {', '.join(SITES)}")
    for site in sites:
        if site not in SITES:
            raise ValueError(f"translation has no site {site!r}; its sites: {', '.join(SITES)}")
    if len(set(sites)) < len(sites):
        raise ValueError(f"a site is named twice in {', '.join(sites)}")
    if "self" in sites and ("encoder" in sites or "decoder" in sites):
        raise ValueError("the site 'self' includes 'encoder' and 'decoder': name it alone")
    if "encoder" in sites and "decoder" in sites:
        raise ValueError("the sites 'encoder' and 'decoder' together are written 'self'")
    if "cross" in sites:
        _check_cross(mechanism)


def _check_cross(mechanism: Mechanism) -> None:
    word = str(mechanism)
    if mechanism.base == "dynamic" or mechanism.deformable:
        raise ValueError(
            f"mechanism {word!r} cannot stand at 'cross': convolutions are compared in"
            " self-attention only, since source and target positions are not on one grid"
        )
    if mechanism.base == "none":
        raise ValueError(
            "mechanism 'none' cannot stand at 'cross': encoder-decoder attention is indispensable,"
            " the decoder sees the source through nothing else"
        )
    if mechanism.spatial_range is not None:
        raise ValueError(
            f"mechanism {word!r} cannot stand at 'cross': a spatial range is a distance within one"
            " sentence"
        )
