"""How a person reads counts, memory and time: one unit and one format for each, everywhere.

Values of a metric are written by `plugins.contracts.metric.Metric.format`. Files for programs (CSV,
JSON) keep whole MACs, parameters, bytes and seconds.
"""

from __future__ import annotations

__all__ = ["GIBIBYTE", "duration", "gibi", "giga", "mega", "size"]

DIGITS = 3  # significant ones
GIBIBYTE = 1 << 30


def giga(macs: float, signed: bool = False) -> str:
    """Write multiply-accumulates in 10^9, the unit left to the sentence or the header: ``0.311``.

    Parameters
    ----------
    macs: float
        A finite number of them.
    signed: bool
        Whether a number above zero gets its ``+``, as a difference should.
    """
    return _three(macs / 1e9, signed)


def mega(parameters: float, signed: bool = False) -> str:
    """Write a number of parameters in 10^6, without the unit: ``20.0``."""
    return _three(parameters / 1e6, signed)


def gibi(size: float, signed: bool = False) -> str:
    """Write an amount of memory, in bytes, in GiB (2^30 bytes), without the unit: ``1.53``."""
    return _three(size / GIBIBYTE, signed)


def size(count: float) -> str:
    """Write how large a file is, as those who offer files do: ``12.3 kB``, ``565 MB``."""
    for unit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{_three(count / unit, signed=False)} {prefix}B"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """Write a time with its units: ``0.4 s``, ``40 s``, ``12 min 04 s``, ``30 h 05 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _three(value: float, signed: bool) -> str:
    """Write a number with three significant digits, trailing zeros too; zero is ``0``."""
    if not value:
        return "0"
    exponent = int(f"{value:.{DIGITS - 1}e}".partition("e")[2])  # after rounding: 9.996 is 10.0
    decimals = max(0, DIGITS - 1 - exponent)
    return f"{value:{'+' if signed else ''}.{decimals}f}"
