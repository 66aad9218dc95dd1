"""The one exception that users see as a sentence instead of a traceback."""

from __future__ import annotations

import getpass
import stat
from pathlib import Path

from plugins.contracts.names import MOST_NAMES, nearest

__all__ = ["MOST_NAMES", "StudyError", "denied", "nearest"]


class StudyError(Exception):
    """Something the user can mend: what is wrong, where, and what would be right.

    The command line prints the message after ``error:`` and exits with code 2.
    """


def denied(error: PermissionError) -> str:
    """Say which folder or file keeps whom out, whose it is, and what its owner can do."""
    path = Path(error.filename or ".").absolute()
    for place in (path, *path.parents):
        try:
            found, owner, group = place.stat(), place.owner(), place.group()
        except KeyError:  # a number without a name
            owner, group = str(found.st_uid), str(found.st_gid)
        except OSError:  # not there, or not to be seen either
            continue
        mode = f"{stat.filemode(found.st_mode)}, {owner}:{group}"
        return (
            f"{place} ({mode}): {error.strerror} for {getpass.getuser()}. What people share is"
            f" made with umask 002 in a folder with g+s; what is there already {owner} opens by"
            f" `chmod -R g+rwX {place}`"
        )
    return f"{path}: {error.strerror}"
