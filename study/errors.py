"""The one exception that users see as a sentence instead of a traceback."""

from __future__ import annotations

from plugins.contracts.names import MOST_NAMES, nearest

__all__ = ["MOST_NAMES", "StudyError", "nearest"]


class StudyError(Exception):
    """Something the user can mend: what is wrong, where, and what would be right.

    The command line prints the message after ``error:`` and exits with code 2.
    """
