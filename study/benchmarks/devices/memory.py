"""Peak memory of a call, in a process of its own (Linux).

Measured is how far the resident set grows over module and input: what the call needs, with what the
allocator wastes. Three traps are stepped around.

- glibc keeps freed blocks, and blocks that lie free already hide growth: they are given back first.
- The peak that the kernel keeps is that of the whole life of a process, and survives ``exec``; it
  is reset before the call, and each call has a forked process.
- Code counts as resident once it has run. The growth of file-backed pages is taken off.

The kernel counts in batches of pages: differences below a mebibyte mean nothing.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path

__all__ = ["in_fork", "peak_growth"]

PAGE = os.sysconf("SC_PAGE_SIZE")


def peak_growth(call: Callable[[], object]) -> int:
    """Run `call` once; return by how many bytes it drove up the resident set, at least a page."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak falls to what is resident now
    before = _status()
    call()
    after = _status()
    code = after["RssFile"] - before["RssFile"]
    return max(after["VmHWM"] - before["VmRSS"] - code, PAGE)


def in_fork(measure: Callable[..., int], *arguments: object) -> int:
    """Return ``measure(*arguments)``, called in a forked copy of this process.

    A fork is as fresh as a new process, except that libraries are imported already. This process
    must not have computed with torch: its threads do not survive the fork.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever happens, the copy must not return into the caller's loop.
        try:
            os.write(writing, json.dumps(measure(*arguments)).encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if status or not text:
        raise RuntimeError(f"the measurement ended with status {status}")
    return int(json.loads(text))


def _status() -> dict[str, int]:
    """The memory lines of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {
        name: 1024 * int(value.split()[0])
        for name, _, value in (line.partition(":") for line in lines)
        if name in ("VmHWM", "VmRSS", "RssFile")
    }
