"""What the user has told ``study run`` to do by signals."""

from __future__ import annotations

import signal
import time
from types import FrameType

__all__ = ["StopFlag"]

AGAIN_SECONDS = 1.0
"""From the first signal until another is meant."""


class StopFlag:
    """Remembers that SIGINT, SIGTERM or SIGHUP came, for a loop to look at.

    Attributes
    ----------
    wanted: bool
        Whether to stop.
    again: bool
        Whether another SIGINT or SIGTERM came while that was done.
    """

    def __init__(self) -> None:
        self.wanted = self.again = False
        self._since = 0.0
        self._before: dict[signal.Signals, object] = {}

    def begin(self) -> None:
        """Take it that to stop is wanted."""
        if not self.wanted:
            self.wanted, self._since = True, time.monotonic()

    def _set(self, number: int, frame: FrameType | None) -> None:
        if not self.wanted:
            self.begin()
        # Another SIGHUP may come by itself, when a terminal is closed.
        elif number != signal.SIGHUP and time.monotonic() - self._since > AGAIN_SECONDS:
            self.again = True

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._set)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
