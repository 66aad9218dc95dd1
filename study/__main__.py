"""The command `study`, also as ``python -m study``; Ctrl-C ends it quietly from the beginning."""

from __future__ import annotations

import os
import signal
from types import FrameType

__all__ = ["main"]

INTERRUPTED = 130  # as a shell says of a process that SIGINT ended


def main() -> None:
    """Import the command and run it."""
    # Where it is ignored, as behind nohup, it stays so.
    at_the_keyboard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if at_the_keyboard:
        signal.signal(signal.SIGINT, _leave)
    from study.cli import main

    if at_the_keyboard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
