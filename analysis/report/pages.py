"""Make pages from templates, and text that a page can hold from values.

Everything from a run (labels, errors, logs, names of files) is text and nothing else: jinja2
escapes it in HTML, `script` in JavaScript, `href` in addresses.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import jinja2

from analysis.report.logs import readable
from analysis.stats.metrics import fine
from study.units import duration, gibi, giga, mega, size

__all__ = ["POLICY", "page", "script"]

POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src 'self' file:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""What a page may load: its own files. Some browsers see no 'self' in a file, hence ``file:``."""

STATES = {
    "completed": "✓",
    "running": "◐",
    "queued": "…",
    "planned": "○",
    "preempted": "↺",
}
"""A sign for each state, so that colour is not the only mark; all other states need somebody: ✗."""

VERDICTS = {"supported": "✓", "contradicted": "✗", "inconclusive": "?", "not tested": "–"}

ABSENT = "–"


def page(template: str, **context: Any) -> str:
    """Return the page that a template makes, every value in it escaped."""
    return _environment().get_template(f"{template}.html.j2").render(policy=POLICY, **context)


def script(call: str, *values: Any) -> str:
    """Return JavaScript that calls a function with values.

    It is safe anywhere in a page: no ``<``, nothing but ASCII.
    """
    texts = (json.dumps(_finite(value), separators=(",", ":")) for value in values)
    return f"{call}({','.join(texts)});\n".replace("<", "\\u003c")


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "href": functools.partial(quote, safe="/"),
        "loss": _known(lambda value: f"{value:#.3g}"),
        "score": _known(lambda value, metric: metric.format(value)),
        "difference": _known(lambda value, metric: fine(metric, value, signed=True)),
        "giga": _known(giga),
        "mega": _known(mega),
        "gibi": _known(gibi),
        "size": size,
        "duration": _known(duration),
        "moment": _moment,
        "entry": _entry,
        "readable": lambda text: readable(str(text).encode(errors="replace")),
        "state_sign": lambda state: STATES.get(state, "✗"),
        "state_kind": lambda state: state if state in STATES else "trouble",
        "verdict_sign": lambda verdict: VERDICTS.get(verdict, "–"),
    }
    return environment


def _finite(value: Any) -> Any:
    """Return the value with None for numbers that JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _known(write: Callable[..., str]) -> Callable[..., str]:
    """Return a filter that writes `ABSENT` for a number that does not exist."""

    def written(value: float | None, *rest: Any) -> str:
        absent = value is None or math.isnan(value)
        return ABSENT if absent else write(value, *rest)

    return written


def _moment(time: float | str | None) -> str:
    """Return a time, ISO or seconds since the epoch, as 2026-11-22 21:37 UTC."""
    if time is None or time == "":
        return ABSENT
    try:
        at = datetime.fromisoformat(time) if isinstance(time, str) else None
        at = at or datetime.fromtimestamp(float(time), UTC)
    except (ValueError, OverflowError, OSError):
        return str(time)
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _entry(value: Any) -> str:
    """Return a value of a configuration as its file has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
