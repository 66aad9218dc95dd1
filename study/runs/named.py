"""Runs by a part of their id, as git names commits."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from study.errors import StudyError

__all__ = ["named", "the_one"]

NEAREST = 3  # ids that are offered instead of one that does not exist
LISTED = 10  # ids that are listed where a name is that of several


def named(ids: Iterable[str], name: str) -> list[str]:
    """Return the ids that a name stands for.

    That is the id itself; else those that begin or end so, such as ``...-s1`` and not
    ``...-s1-...``; else those with the name anywhere, such as the beginning of a hash.
    """
    there = list(ids)
    if name in there or not name:
        return [name] if name in there else []
    at_an_end = [run for run in there if run.startswith(name) or run.endswith(name)]
    return at_an_end or [run for run in there if name in run]


def the_one(ids: Iterable[str], name: str, where: str) -> str:
    """Return the one id that a name stands for.

    Raises
    ------
    StudyError
        If there is none, with the nearest ids, or more than one, with some of them.
    """
    if not name:
        raise StudyError("name a run by its id, or by any part of it that no other run has")
    there = sorted(ids)
    found = named(there, name)
    if len(found) == 1:
        return found[0]
    if found:
        more = [f"and {len(found) - LISTED} more"] if len(found) > LISTED else []
        listed = "\n  ".join([*found[:LISTED], *more])
        raise StudyError(f"{len(found)} runs match {name!r}; write more of one:\n  {listed}")
    near = difflib.get_close_matches(name, there, n=NEAREST, cutoff=0.3)
    hint = "; did you mean one of these?\n  " + "\n  ".join(near) if near else ""
    raise StudyError(f"no run {name!r} in {where}{hint}")
