"""What the fast forms are meant to reach, and whether a measurement says that they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plugins.attention.core.word import TERM_SETS
from study.benchmarks.on_cpu.rows import Row, geometric_mean

__all__ = ["Goal", "goals"]

STEP = "step, stride 1"
"""Where most goals apply: forward and backward, every position a key."""

MEAN_SPEEDUP = 4.0
MEAN_MEMORY_RATIO = 6.0
OVER_FUSED = 1.15
NOT_ALL_PAIRS = 12.0
"""Speed-up of the terms that need no energy for each pair of positions."""


@dataclass(frozen=True)
class Goal:
    """One goal at one number of threads.

    Attributes
    ----------
    what, found: str
        The goal, and the number that decides, with the case that it belongs to.
    threads: int
        Of the measurement.
    met: bool
        Whether it is reached.
    """

    what: str
    found: str
    threads: int
    met: bool


def goals(rows: Sequence[Row]) -> list[Goal]:
    """Judge the goals for which `rows` has everything that it takes."""
    found = []
    for threads in dict.fromkeys(row.threads for row in rows):
        own = [row for row in rows if row.threads == threads]
        mmcv, dense = _of(own, "mmcv"), _steps(_of(own, "dense"))
        found += _means(_steps(mmcv))
        found += _least(f"no configuration slower than mmcv's, {STEP}", 1.0, _steps(mmcv))
        fused = f"1000: 1/{OVER_FUSED:g} of fused attention's speed"
        found += _least(fused, 1 / OVER_FUSED, _of(own, "sdpa"))
        times = f"{NOT_ALL_PAIRS:g} times"
        for terms in ("0000", "0001", "0011"):
            chosen = [row for row in _steps(mmcv) if row.case.configuration == terms]
            found += _least(f"{terms}: {times} mmcv's speed, {STEP}", NOT_ALL_PAIRS, chosen)
        found += _least(f"0010: {times} the dense form's speed, {STEP}", NOT_ALL_PAIRS, dense)
    return found


def _of(rows: Sequence[Row], reference: str) -> list[Row]:
    return [row for row in rows if row.case.reference == reference]


def _steps(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.pass_ == "forward+backward" and row.case.kv_stride == 1]


def _means(rows: Sequence[Row]) -> list[Goal]:
    """Goals for the geometric mean over the 16 configurations, on each input."""
    found = []
    for setting in dict.fromkeys(row.case.setting for row in rows):
        whole = [row for row in rows if row.case.setting == setting]
        if {row.case.configuration for row in whole} != set(TERM_SETS):
            continue
        for unit, least, mean in (
            ("times mmcv's speed", MEAN_SPEEDUP, geometric_mean(row.speedup for row in whole)),
            (
                "times less memory than mmcv",
                MEAN_MEMORY_RATIO,
                geometric_mean(row.memory_ratio for row in whole),
            ),
        ):
            what = f"{setting}: {least:g} {unit}, step, mean of the 16"
            found.append(Goal(what, f"{mean:.2f}", whole[0].threads, mean >= least))
    return found


def _least(what: str, least: float, rows: Sequence[Row]) -> list[Goal]:
    """The goal that each of `rows` is `least` times as fast; none if there are no rows."""
    if not rows:
        return []
    worst = min(rows, key=lambda row: row.speedup)
    where = f"{worst.case.configuration} {worst.case.setting} {worst.pass_}"
    return [Goal(what, f"{worst.speedup:.2f}, {where}", worst.threads, worst.speedup >= least)]
