"""How long all runs take together from now on, by those that are finished or under way."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping

from study.files import BrokenFile
from study.status.estimate import recipe_of
from study.status.rows import science_of
from study.status.states import DONE, States

__all__ = ["Remaining"]

WAITING = ("planned", "queued")


class Remaining:
    """Remembers how long finished runs took, by recipe."""

    def __init__(self) -> None:
        self._took: dict[str, dict[str, float]] = defaultdict(dict)

    def seconds(self, states: States, lefts: Mapping[str, float | None]) -> float | None:
        """Return how long it takes until all are done, so many at a time as now.

        Parameters
        ----------
        states: States
            Of all runs.
        lefts: mapping of str to float
            What each run that is being trained still takes, None where that is not known.

        Returns
        -------
        float or None
            None where nothing is being trained, and while no run of a recipe tells how long the
            others of it will take.
        """
        for name, state in states.of.items():
            if state == DONE:
                self._finished(states, name)
        if not lefts:
            return None
        usual = {recipe: statistics.fmean(took.values()) for recipe, took in self._took.items()}
        for name, left in lefts.items():
            if left is not None:
                usual.setdefault(_recipe(states, name), _age(states, name) + left)
        total = 0.0
        for name, state in states.of.items():
            whole = usual.get(_recipe(states, name))
            if state in WAITING:
                if whole is None:
                    return None
                total += whole
            elif name in lefts:
                left = lefts[name]
                if left is None:
                    if whole is None:
                        return None
                    left = max(0.0, whole - _age(states, name))
                total += left
        return total / len(lefts)

    def _finished(self, states: States, name: str) -> None:
        took = self._took[_recipe(states, name)]
        if name not in took and (result := states.seen[name].result):
            took[name] = float(result["seconds"])


def _recipe(states: States, name: str) -> str:
    return recipe_of(science_of(states, name))


def _age(states: States, name: str) -> float:
    """Return for how long a run has been trained by its newest attempt."""
    try:
        attempt = states.seen[name].newest
    except BrokenFile:
        return 0.0
    started = ((attempt.start or attempt.submission) if attempt else None) or {}
    return max(0.0, time.time() - float(started.get("time", time.time())))
