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
    """Remembers how long finished runs took, by recipe, and which recipe each run has."""

    def __init__(self) -> None:
        self._took: dict[str, dict[str, float]] = defaultdict(dict)
        self._recipes: dict[str, str] = {}

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
        if not lefts:
            return None
        for name, state in states.of.items():
            if state == DONE:
                self._finished(states, name)
        usual = {recipe: statistics.fmean(took.values()) for recipe, took in self._took.items()}
        for name, left in lefts.items():
            if left is not None:
                usual.setdefault(self._recipe(states, name), _age(states, name) + left)
        total = 0.0
        for name, state in states.of.items():
            whole = usual.get(self._recipe(states, name))
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

    def _recipe(self, states: States, name: str) -> str:
        # It never changes, and to read it anew takes long where there are ten thousand runs.
        if name not in self._recipes:
            self._recipes[name] = recipe_of(science_of(states, name))
        return self._recipes[name]

    def _finished(self, states: States, name: str) -> None:
        took = self._took[self._recipe(states, name)]
        if name not in took and (result := states.seen[name].result):
            took[name] = float(result["seconds"])


def _age(states: States, name: str) -> float:
    """Return for how long a run has been trained by its newest attempt."""
    try:
        attempt = states.seen[name].newest
    except BrokenFile:
        return 0.0
    began = attempt.began if attempt else None
    return 0.0 if began is None else max(0.0, time.time() - began)
