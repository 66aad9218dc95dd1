"""Which part of a word takes which place at which site, and the modules that stand there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.mechanism import Mechanism
from plugins.attention.core.site import MapSite, Place, Site
from plugins.attention.core.word import Word

if TYPE_CHECKING:
    from torch import nn

__all__ = ["build", "cost_at", "parts_at", "placed"]


def parts_at(word: Word, site: Site) -> dict[Place, Mechanism]:
    """Return which mechanism takes which place at a site; a part without a place there is left out.

    Where one takes the place of the head, nothing stands in the head.

    Raises
    ------
    ValueError
        If two take the same place.
    """
    taken: dict[Place, Mechanism] = {}
    for part in word.parts:
        place = part.place(site)
        if place is None:
            continue
        if place in taken:
            raise ValueError(
                f"mechanism {word}: both {taken[place]} and {part} would stand {place.value};"
                " only what takes different places can be joined"
            )
        taken[place] = part
    if Place.HEAD in taken:
        taken.pop(Place.BACKBONE, None)  # it would stand within the head that is replaced
    return taken


def placed(word: Word, sites: Mapping[str, Site]) -> dict[str, dict[Place, Mechanism]]:
    """Return which mechanism takes which place at each of the named sites.

    Raises
    ------
    ValueError
        If a part finds a place at none of them, two want the same place, or one cannot stand there.
    """
    taken = {name: parts_at(word, site) for name, site in sites.items()}
    for part in word.parts:
        if not any(part in parts.values() for parts in taken.values()):
            raise ValueError(f"mechanism {word}: {_no_place(part, sites)}")
    for name, parts in taken.items():
        for place, part in parts.items():
            try:
                part.check(sites[name].at(place))
            except ValueError as error:
                raise ValueError(
                    f"mechanism {str(word)!r} cannot stand at {name!r}: {error}"
                ) from None
    return taken


def _no_place(part: Mechanism, sites: Mapping[str, Site]) -> str:
    kinds = {site.kind for site in sites.values()}
    wanted = [place for kind in part.places if kind.kind in kinds for place in part.wanted(kind)]
    names = ", ".join(map(repr, sites)) or "no site"
    if wanted:
        where = " or ".join(dict.fromkeys(place.value for place in wanted))
        return f"{part} stands {where}, and there is none of that at {names}"
    for_kinds = " and ".join(f"{kind.kind}s" for kind in part.places)
    found = " and ".join(sorted(f"{kind}s" for kind in kinds))
    return f"{part} is for {for_kinds}, and {names} {'are' if len(sites) > 1 else 'is'} for {found}"


def build(part: Mechanism, site: Site) -> nn.Module:
    """Build the module of one mechanism for a site, marked as such for counting and looking.

    If a module marks some of its own parts by ``is_mechanism``, only these are counted: the network
    would have had the rest anyway.
    """
    part.check(site)
    module = part.build(site)
    marked = any(hasattr(each, "is_mechanism") for each in module.modules())
    vars(module).update(mechanism=part, site=site)
    if not marked:
        vars(module)["is_mechanism"] = True
    if getattr(module, "is_mechanism", False) and not hasattr(module, "closed_form"):
        vars(module)["closed_form"] = _Form(part, site)
    return module


def cost_at(word: Word, site: Site) -> ClosedForm:
    """Return the closed form of all that a word brings to a site whose sizes are known."""
    total = ClosedForm()
    for place, part in parts_at(word, site).items():
        total += part.cost(site.at(place))
    return total


class _Form:
    """The closed form of a module by the sizes that it meets; a copy of the module copies it."""

    def __init__(self, part: Mechanism, site: Site) -> None:
        self.part, self.site = part, site

    def __call__(self, *sizes: int) -> ClosedForm:
        known: dict[str, Any] = (
            {"size": sizes}
            if isinstance(self.site, MapSite)
            else {"queries": sizes[0], "keys": sizes[-1]}
        )
        return self.part.cost(replace(self.site, **known))
