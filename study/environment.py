"""The environment of the processes that have the frameworks, whoever starts them.

It is that of this process without what belongs to somebody else's: torch's variables of a group of
processes, which a shell may still have from another job and which would let a lone worker wait for
the others, and git's of a hook, which point to another checkout.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["child_environment", "without_git"]

# https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables
OF_A_GROUP = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE"),
    *("ROLE_NAME", "ROLE_RANK", "ROLE_WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"),
)
PREFIXES = ("TORCHELASTIC_", "PET_")  # of torchrun, and of its own options
GIT = "GIT_"


def child_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of a child; `more` are added, whatever their names."""
    kept = {
        name: value
        for name, value in without_git().items()
        if name not in OF_A_GROUP and not name.startswith(PREFIXES)
    }
    return {**kept, **(more or {})}


def without_git() -> dict[str, str]:
    """Return this process's variables but git's, so that git looks where it is told to."""
    return {name: value for name, value in os.environ.items() if not name.startswith(GIT)}
