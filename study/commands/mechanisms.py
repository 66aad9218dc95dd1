"""``study mechanisms``: what can attend, what it costs, where it comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.units import giga, mega

if TYPE_CHECKING:
    from plugins.attention.core.closed_form import ClosedForm
    from plugins.attention.core.mechanism import Mechanism
    from plugins.attention.core.site import Site

__all__ = ["register"]

HEADS, KV_STRIDE = 8, 2
MAP_SIZE, MAP_CHANNELS = (50, 84), 256
"""A block of conv4 in a ResNet-50 that sees an image of 800x1344 pixels."""
TOKENS, SEQUENCE_CHANNELS = 32, 512
"""Self-attention of an encoder, of the Transformer's base width, to a sentence of 32 tokens."""
WORDS, WORD_CHANNELS, REGIONS, REGION_CHANNELS = 14, 512, 36, 2048
"""A question to the regions of an image, as in Anderson et al. 2018, arXiv 1707.07998."""

WIDTH = 100  # columns; wider is no easier to read
UNITS = {"macs": giga, "parameters": mega}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(mechanisms)


def mechanisms(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the mechanisms: formula, MACs and parameters in closed form, source."""
    rows = _rows()
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from study.screen import Screen

    sources = list(dict.fromkeys((row["paper"], row["url"]) for row in rows))
    numbers, pairs = (Table("mechanism", box=SIMPLE_HEAD) for _ in range(2))
    for shown, kinds in ((numbers, ("map", "sequence")), (pairs, ("pair",))):
        shown.add_column("weight of key k for query q", overflow="fold")
        for column in (name for kind in kinds for name in (f"{kind}\nMACs", "\nparams")):
            shown.add_column(column, justify="right", no_wrap=True)
        shown.add_column("ref.", justify="right", no_wrap=True)
    products = Table(box=SIMPLE_HEAD)
    products.add_column("MACs of", no_wrap=True)
    for column in ("map", "sequence", "pair"):
        products.add_column(column)
    for row in rows:
        costs = [row["map"], row["sequence"], row["pair"]]
        source = sources.index((row["paper"], row["url"])) + 1
        for shown, there in ((numbers, costs[:2]), (pairs, costs[2:])):
            cells = [
                write(cost[of]) if cost else "" for cost in there for of, write in UNITS.items()
            ]
            if any(cells):
                shown.add_row(row["mechanism"], row["formula"], *cells, str(source))
        products.add_row(row["mechanism"], *(cost["formula"] if cost else "" for cost in costs))
    console = Screen()
    console.soft_wrap = False  # lines are as narrow as the tables
    console.width = min(console.width, WIDTH)
    console.table(numbers)
    height, width = MAP_SIZE
    console.print(
        f"MACs in G, params in M. map: {MAP_CHANNELS} channels, {height}x{width}, {HEADS} "
        f"heads, kv_stride {KV_STRIDE}. sequence: {TOKENS} tokens, {SEQUENCE_CHANNELS} channels, "
        f"{HEADS} heads, in an encoder."
    )
    console.table(pairs)
    console.print(
        f"MACs in G, params in M. pair: {WORDS} words, {WORD_CHANNELS} channels, and {REGIONS} "
        f"regions, {REGION_CHANNELS} channels; {HEADS} heads."
    )
    for number, (paper, url) in enumerate(sources, 1):
        console.print(f"ref. {number}: {paper}, {url}")
    console.table(products)
    for row in rows:
        options = [f"{name}={value}" for name, value in row["options"].items() if name != "@"]
        if options:
            console.print(f"{row['mechanism']}: options {', '.join(options)}")
    console.print("docs/mechanisms.md has the symbols, and how to add a mechanism.")


def _rows() -> list[dict[str, Any]]:
    """Return a row a mechanism; the cost is None if it cannot stand at such a site."""
    from plugins.attention.core.closed_form import ClosedForm
    from plugins.attention.core.registry import mechanism_class, names
    from plugins.attention.core.site import MapSite, PairSite, Place, SequenceSite

    on_map = MapSite(
        places=tuple(Place),
        channels=MAP_CHANNELS,
        heads=HEADS,
        kv_stride=KV_STRIDE,
        size=MAP_SIZE,
    )
    in_sequence = SequenceSite(channels=SEQUENCE_CHANNELS, heads=HEADS, queries=TOKENS, keys=TOKENS)
    between = PairSite(
        places=(Place.ATTENTION, Place.POOL),
        channels=WORD_CHANNELS,
        key_channels=REGION_CHANNELS,
        heads=HEADS,
        queries=WORDS,
        keys=REGIONS,
    )
    rows = []
    # Mechanisms that are written beside others come last.
    for kind in sorted(map(mechanism_class, names()), key=lambda kind: kind.beside):
        part = kind()
        sites = (on_map, in_sequence, between)
        costs = [_cost_at(part, site) if part.places else ClosedForm() for site in sites]
        rows.append(
            {
                "mechanism": f"+{kind.name}" if kind.beside else kind.name,
                **{name: getattr(kind, name) for name in ("formula", "paper", "url")},
                "options": _options(kind),
                "map": _cost(costs[0], channels=MAP_CHANNELS, size=MAP_SIZE, kv_stride=KV_STRIDE),
                "sequence": _cost(costs[1], channels=SEQUENCE_CHANNELS, length=TOKENS),
                "pair": _cost(
                    costs[2],
                    channels=WORD_CHANNELS,
                    key_channels=REGION_CHANNELS,
                    queries=WORDS,
                    keys=REGIONS,
                ),
            }
        )
    return rows


def _cost_at(part: Mechanism, site: Site) -> ClosedForm | None:
    """Return what a mechanism costs at a site, None if it cannot stand there."""
    place = part.place(site)
    if place is None:
        return None
    try:
        part.check(site.at(place))
    except ValueError:
        return None
    return part.cost(site.at(place))


def _options(kind: type[Mechanism]) -> dict[str, Any]:
    """Return the options of a mechanism and their defaults, the range as ``@``."""
    fields = kind.model_fields
    return {
        "@" if name == "spatial_range" else name: field.default for name, field in fields.items()
    }


def _cost(form: Any, **shape: Any) -> dict[str, Any] | None:
    """Return a closed form as JSON, with the shape that its numbers are for."""
    if form is None:
        return None
    numbers = {"macs": form.macs, "parameters": form.parameters}
    return {"formula": str(form), **numbers, **shape, "heads": HEADS}
