"""Where attention stands in a translation model.

Imports no torch: planning a grid needs these checks.
"""

from __future__ import annotations

from collections.abc import Sequence

from plugins.attention.core.site import Place, SequenceSite
from plugins.attention.core.standing import placed
from plugins.attention.core.word import Word

__all__ = ["PARTS", "SITES", "check", "check_sites", "parts", "sequence_site"]

SITES: tuple[str, ...] = ("encoder", "decoder", "self", "cross")
"""Self-attention of the encoder, of the decoder, of both; attention of the decoder to the source.
"""

PARTS: tuple[str, ...] = ("encoder", "decoder", "cross")
"""The sites that do not overlap."""


def parts(sites: Sequence[str]) -> frozenset[str]:
    """Resolve sites to a subset of :data:`PARTS`."""
    return frozenset(
        part for site in sites for part in (("encoder", "decoder") if site == "self" else (site,))
    )


def sequence_site(
    part: str, channels: int = 0, heads: int = 1, key_channels: int | None = None
) -> SequenceSite:
    """Return what is known of one of :data:`PARTS`; `key_channels` are those of the source."""
    return SequenceSite(
        places=(Place.ATTENTION, Place.BEFORE),
        channels=channels,
        heads=heads,
        causal=part == "decoder",
        cross=part == "cross",
        key_channels=key_channels,
    )


def check(word: Word, sites: Sequence[str], elsewhere: Word) -> None:
    """Raise ValueError if `word` cannot stand at the sites, or `elsewhere` at the others."""
    check_sites(word, sites)
    varied = parts(sites)
    for part in PARTS:
        if part not in varied:
            try:
                check_sites(elsewhere, (part,))
            except ValueError as error:
                raise ValueError(f"recipe, elsewhere: {error}") from None


def check_sites(word: Word, sites: Sequence[str]) -> None:
    """Raise ValueError if a translation model cannot have `word` at `sites`.

    Parameters
    ----------
    word: Word
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
    for part in sorted(parts(sites), key=PARTS.index):
        placed(word, {part: sequence_site(part)})
    if "cross" in sites and not word.parts:
        raise ValueError(
            "mechanism 'none' cannot stand at 'cross': encoder-decoder attention is indispensable,"
            " the decoder sees the source through nothing else"
        )
