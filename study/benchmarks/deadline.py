"""A time after which a measurement is cut short."""

from __future__ import annotations

import time

__all__ = ["Deadline"]


class Deadline:
    """So many seconds from now; None never comes."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds until then, 0 afterwards; None if it never comes."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())
