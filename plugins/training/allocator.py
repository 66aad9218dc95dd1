"""Keep the memory that one step of training frees for the next step.

glibc gives large blocks back to the system as soon as they are freed, and the system hands them out
again a page at a time, each filled with zeros. A training step frees the same blocks each time. How
much time that takes is in ``docs/speed.md``.
"""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of mallopt(3), as ``malloc.h`` has them."""

LARGEST_ON_THE_HEAP = 32 << 20
"""Bytes of a block; the most that mallopt takes. Larger blocks still come and go."""

KEPT = 512 << 20
"""Free bytes at the end of the heap."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees; False if the C library is not glibc.

    Results do not depend on it. The peak of memory changes by fragmentation alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = ((M_MMAP_THRESHOLD, LARGEST_ON_THE_HEAP), (M_TRIM_THRESHOLD, KEPT))
    return all(mallopt(number, size) == 1 for number, size in wanted)
