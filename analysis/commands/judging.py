"""Which claims are judged, and by which margins: options of the verbs that judge."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analysis.stats.claimfile import Claim

__all__ = ["Claims", "Margins", "agreed", "amounts", "check", "margins", "registered"]

Claims = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="YAML file of further claims; may be repeated."),
]
Margins = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METRIC=VALUE",
        help="What makes no difference, in the unit of records: mAP=0.005; repeatable. By default"
        " what is registered of the grids, or else half a point.",
    ),
]


def agreed(
    claims: list[Path] | None, margin: list[str] | None, grids: Sequence[Path] | None = None
) -> list[Claim]:
    """Return the paper's claims and those of the files, with the margins that were given.

    A margin that no option gives is the one that is registered of the grids, if they agree in it,
    and else that of the files: what was registered was registered with them.

    Raises
    ------
    StudyError
        If a file or a margin is wrong.
    """
    from analysis.stats.claimfile import load

    return load(claims or (), registered(grids or (), claims or ()) | margins(margin))


def registered(grids: Sequence[Path], claims: Sequence[Path] = ()) -> dict[str, float]:
    """Return the margins in which all grids agree, by metric; none without a grid.

    They are those of a registration's last entry; a grid that is not registered has those of the
    files of claims, or the usual ones.
    """
    from analysis.registered.file import beside, read
    from analysis.stats.claimfile import margins_of
    from plugins.contracts.tasks import find_task
    from study.grid.reading import find, load

    found: dict[str, set[float]] = {}
    usual = margins_of() | margins_of(claims)
    for path in find(grids) if grids else ():
        entries = read(beside(path))
        own = entries[-1].plan["margins"] if entries else usual
        for metric in find_task(load(path).task).metrics:
            if metric.name in own:
                found.setdefault(metric.name, set()).add(own[metric.name])
    return {metric: values.pop() for metric, values in found.items() if len(values) == 1}


def check(claims: list[Path] | None, margin: list[str] | None, metrics: Iterable[str]) -> None:
    """Refuse a margin of a metric that is none of `metrics`, and that no file has a margin of."""
    from study.errors import StudyError, nearest

    if not margin:
        return
    known = {*metrics, *agreed(claims, None)[0].margins}
    for metric in margins(margin):
        if metric not in known:
            hint = nearest(metric, known)
            raise StudyError(f"--margin {metric}: no run and no claim has that metric{hint}")


def margins(given: list[str] | None) -> dict[str, float]:
    """Return margins by metric; StudyError if one is none."""
    return amounts("--margin", given)


def amounts(option: str, given: list[str] | None) -> dict[str, float]:
    """Return the numbers of an option that is written ``METRIC=VALUE``, by metric."""
    from study.errors import StudyError

    found = {}
    for text in given or ():
        metric, _, value = text.partition("=")
        try:
            found[metric] = float(value)
        except ValueError:
            found[metric] = math.nan
        if not metric or not 0 < found[metric] < math.inf:
            raise StudyError(f"{option} {text}: write METRIC=VALUE, a number above 0: BLEU=1.0")
    return found
