"""Which mechanisms can find what a phrase names. Imports no framework."""

from __future__ import annotations

from collections.abc import Sequence

from plugins.attention.core.mechanism import Mechanism
from plugins.attention.core.site import Place, Site
from plugins.attention.core.standing import parts_at
from plugins.attention.core.word import Word

__all__ = ["check", "scoring"]


def scoring(word: Word, site: Site) -> tuple[Mechanism, Mechanism | None]:
    """Return what scores boxes at a site, and what words attend by before, if anything does.

    Raises
    ------
    ValueError
        If nothing can score them.
    """
    parts = parts_at(word, site)
    before = parts.get(Place.ATTENTION)
    part = parts.get(Place.POOL, before)
    why = "nothing stands where words meet boxes" if part is None else part.no_energies()
    if part is None or why:
        raise ValueError(
            f"mechanism {word}: goal ground scores boxes by weights of words and boxes before their"
            f" softmax, and {why}; bilinear, co, soft, 1000, 0010 and 1010 have such weights"
        )
    return part, None if part is before else before


def check(word: Word, sites: Sequence[str], pool: str, site: Site) -> None:
    """Refuse a word that scores nothing at the site called `pool`."""
    scoring(word, site)
    if pool not in sites:
        raise ValueError(
            f"mechanism {word}: goal ground scores boxes by what stands at {pool!r}, which is not"
            f" among the sites: {', '.join(sites)}"
        )
