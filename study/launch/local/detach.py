"""``study run`` as a process of its own, which survives the terminal."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["detach"]


def detach(arguments: Sequence[str], root: Path) -> tuple[int, Path]:
    """Start it for runs in `root`; return its process id and the file it writes to."""
    log = root / ".local" / f"{time.strftime('%Y%m%d-%H%M%S')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "study", "run", *arguments, "--runs", str(root)]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return process.pid, log
