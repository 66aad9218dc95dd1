"""``study mechanisms``: what can attend, what it costs, where it comes from."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

__all__ = ["register"]

HEADS, KV_STRIDE = 8, 2
MAP_SIZE, MAP_CHANNELS = (50, 84), 256
"""A block of conv4 in a ResNet-50 that sees an image of 800x1344 pixels."""
TOKENS, SEQUENCE_CHANNELS = 32, 512
"""Self-attention of an encoder, of the Transformer's base width, to a sentence of 32 tokens."""

WIDTH = 100  # columns; wider is no easier to read
UNITS = ("macs", "parameters")


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
    from rich.console import Console
    from rich.table import Table

    sources = list(dict.fromkeys((row["paper"], row["url"]) for row in rows))
    numbers = Table("mechanism", box=SIMPLE_HEAD)
    numbers.add_column("weight of key k for query q", overflow="fold")
    for column in ("map\nMACs", "\nparams", "sequence\nMACs", "\nparams", "ref."):
        numbers.add_column(column, justify="right", no_wrap=True)
    products = Table("MACs of", "map", "sequence", box=SIMPLE_HEAD)
    for row in rows:
        costs = [row["map"], row["sequence"]]
        cells = [f"{cost[unit] / 1e6:,.2f}" if cost else "" for cost in costs for unit in UNITS]
        source = sources.index((row["paper"], row["url"])) + 1
        numbers.add_row(row["mechanism"], row["formula"], *cells, str(source))
        products.add_row(row["mechanism"], *(cost["formula"] if cost else "" for cost in costs))
    console = Console(width=min(Console().width, WIDTH), highlight=False)
    console.print(numbers)
    height, width = MAP_SIZE
    console.print(
        f"MACs and params in millions. map: {MAP_CHANNELS} channels, {height}x{width}, {HEADS} "
        f"heads, kv_stride {KV_STRIDE}. sequence: {TOKENS} tokens, {SEQUENCE_CHANNELS} channels, "
        f"{HEADS} heads, in an encoder."
    )
    for number, (paper, url) in enumerate(sources, 1):
        console.print(f"ref. {number}: {paper}, {url}")
    console.print(products)
    console.print("docs/mechanisms.md has the symbols, and how to add a mechanism.")


def _rows() -> list[dict[str, Any]]:
    """Return a row a mechanism; the cost is None where there is no module for it."""
    from plugins.attention.core.registry import (
        DEFORMABLE,
        ClosedForm,
        layer_cost,
        registered,
        words,
    )
    from plugins.attention.core.word import Mechanism

    rows = []
    for word in (*words(), DEFORMABLE):
        kind = registered(word)
        # The suffix is no word by itself.
        mechanism = Mechanism.parse("none+deformable" if word == DEFORMABLE else word)
        on_map = sequence = ClosedForm((), 0) if word == "none" else None
        if kind.block is not None:
            arguments = kind.block_arguments(mechanism, HEADS, KV_STRIDE)
            on_map = kind.block_cost(MAP_SIZE, MAP_CHANNELS, **arguments)
        if kind.sequence is not None:
            sequence = layer_cost(
                mechanism, TOKENS, TOKENS, channels=SEQUENCE_CHANNELS, heads=HEADS
            )
        rows.append(
            {
                "mechanism": word,
                **{name: getattr(kind, name) for name in ("formula", "paper", "url")},
                "map": _cost(on_map, channels=MAP_CHANNELS, size=MAP_SIZE, kv_stride=KV_STRIDE),
                "sequence": _cost(sequence, channels=SEQUENCE_CHANNELS, length=TOKENS),
            }
        )
    return rows


def _cost(form: Any, **shape: Any) -> dict[str, Any] | None:
    """Return a closed form as JSON, with the shape that its numbers are for."""
    if form is None:
        return None
    numbers = {"macs": form.macs, "parameters": form.parameters}
    return {"formula": str(form), **numbers, **shape, "heads": HEADS}
