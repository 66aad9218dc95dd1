"""The paper's factorial: main effects and two-way interactions of the terms E1 to E4, with cost.

The 16 term sets are a full 2^4 factorial with seeds as replicates; words with ranges or suffixes
and ``none`` stand outside. An effect is a contrast of the 16 means in the model of
`analysis.stats.model`, whose residual variance comes from seeds alone: nothing is assumed about
interactions of three or four terms, whose share is reported instead.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import linalg
from statsmodels.stats.multitest import multipletests

from analysis.stats import notes as told
from analysis.stats.group import Group
from analysis.stats.metrics import fine
from analysis.stats.model import TELLING
from plugins.attention.core.word import TERM_SETS

__all__ = [
    *("LEVEL", "MEANINGS", "MODULE", "TERMS", "TERM_SETS"),
    *("Effects", "contrasts", "effects", "skipped"),
]

MEANINGS = {
    "E1": "query-key content",
    "E2": "query content, position",
    "E3": "key content",
    "E4": "position",
    "module": "all term sets - none",
}
"""What the rows of effects are, in words."""

TERMS = ("E1", "E2", "E3", "E4")

PAIRS = tuple(itertools.combinations(range(4), 2))

NAMES = (*TERMS, *(f"{TERMS[a]}×{TERMS[b]}" for a, b in PAIRS))

MODULE = "module"
"""Name and kind of the mean of all 16 term sets minus ``none``."""

CONFIDENCE = 0.95
LEVEL = 0.05

DEFINITION = (
    "effect of a term: mean with it minus mean without it, over all settings of the other three; "
    "interaction: half of what the effect of one term gains when the other is there; "
    "95 % intervals, each by itself"
)


@dataclass(frozen=True, eq=False)
class Effects:
    """The factorial of one group, which has enough term sets."""

    group: Group

    @cached_property
    def words(self) -> list[str]:
        """The term sets that have runs."""
        return [word for word in TERM_SETS if word in self.group.seeds]

    @property
    def n(self) -> int:
        """Runs of the term sets."""
        return sum(self.group.seeds[word] for word in self.words)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row an effect.

        ``name`` (``E2``, ``E1×E3``, ``module``), ``kind`` (``main``, ``interaction``, ``module``),
        ``effect`` in units of the metric, ``low`` and ``high`` of its 95 % interval, ``seed_low``
        and ``seed_high`` of the one from the effect's values in the seeds one by one (from
        `TELLING` seeds, in which all its mechanisms have runs), ``p``, ``holm`` (p after Holm's
        correction for the ten effects), ``macs`` (the same contrast of the mechanism's MACs) and
        ``macs_per_point`` (MACs for a point that the metric gets better; NaN unless the whole
        interval is a gain, and for interactions, which nobody can buy). The row ``module`` is there
        where ``none`` is.
        """
        rows = [
            self._row(name, "main" if name in TERMS else "interaction", weights)
            for name, weights in contrasts(self.words).items()
        ]
        holm = [math.nan] * len(rows)
        p = np.array([row["p"] for row in rows], dtype=float)
        if not np.isnan(p).any():
            holm = list(map(float, multipletests(p, method="holm")[1]))
        if "none" in self.group.seeds:
            mean = map(float, _solution(self.words)[0])
            weights = dict(zip(self.words, mean, strict=True)) | {"none": -1.0}
            rows.append(self._row(MODULE, MODULE, weights))
            holm.append(math.nan)
        table = pd.DataFrame(rows)
        table.insert(table.columns.get_loc("p") + 1, "holm", holm)
        return table

    def _row(self, name: str, kind: str, weights: Mapping[str, float]) -> dict[str, object]:
        metric, macs = self.group.metric, self.group.means["mechanism_macs"]
        estimate = self.group.model.contrast(weights)
        low, high = estimate.interval(CONFIDENCE)
        by_seed = self.group.model.by_seed(weights)
        few = math.nan, math.nan
        seed_low, seed_high = by_seed.interval(CONFIDENCE) if by_seed.n >= TELLING else few
        cost = float(sum(weight * macs[word] for word, weight in weights.items()))
        gained = kind != "interaction" and min(metric.sign * low, metric.sign * high) > 0
        points = metric.sign * estimate.effect / metric.point
        return {
            "name": name,
            "kind": kind,
            "effect": estimate.effect,
            "low": low,
            "high": high,
            "seed_low": seed_low,
            "seed_high": seed_high,
            "p": estimate.p,
            "macs": cost,
            "macs_per_point": cost / points if gained else math.nan,
        }

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know, a sentence each, the data cards first."""
        group, words, model = self.group, self.words, self.group.model
        counts = sorted({group.seeds[word] for word in words})
        seeds = " to ".join(str(count) for count in {counts[0]: 0, counts[-1]: 0})
        plural = "" if counts[-1] == 1 else "s"
        notes = [f"{self.n} runs of {len(words)} term sets, {seeds} seed{plural} each", DEFINITION]
        if model.df:
            notes[0] += (
                f"; residual sd {fine(group.metric, model.sd)} {group.metric.shown} on {model.df} "
                "degrees of freedom"
            )
        else:
            notes.append("one seed: effects are estimates without an interval")
        if len(words) < len(TERM_SETS):
            notes.append(
                f"missing: {_missing(group)}; the fit takes interactions of three and four terms "
                "for zero, and is biased as far as they are not"
            )
        if self.rows["effect"].isna().any():
            notes.append(
                "some term sets have no seed in common: an effect across them cannot be told"
            )
        notes += self._higher() + self._shared()
        notes += group.only(words).doubts
        if model.spread:
            notes.append(model.spread)
        return [f"data: {card}" for card in group.cards] + told.direction(group.metric) + notes

    def _higher(self) -> list[str]:
        """Say how much of the differences between term sets the ten effects leave to explain."""
        words, model = self.words, self.group.model
        rest = linalg.null_space(_design(words).T).T  # orthonormal, (degrees of freedom, term sets)
        if not len(rest):
            return ["no degree of freedom is left to see interactions of three and four terms"]
        # Differences to one set: means adjusted for seeds, so far as they can be estimated.
        means = np.array([model.contrast({w: 1.0, words[0]: -1.0}).effect if i else 0.0
                          for i, w in enumerate(words)])  # fmt: skip
        total = float(((means - means.mean()) ** 2).sum())
        if not total or math.isnan(total):
            return []
        note = (
            f"interactions of three and four terms hold {((rest @ means) ** 2).sum() / total:.1%} "
            "of the sum of squares between term sets"
        )
        if model.df and model.sd:
            f, p = model.joint(rest, words)
            note += f" (F({len(rest)}, {model.df}) = {f:.3g}, p = {p:.2g})"
        return [note]

    def _shared(self) -> list[str]:
        """Name the terms whose effect differs from seed to seed by more than the runs scatter."""
        named = []
        for name, weights in contrasts(self.words).items():
            found = self.group.model.shared(weights) if name in TERMS else None
            if found is not None and len(TERMS) * found.p < LEVEL:
                test = f"F({found.df}, {found.rest}) = {found.f:.3g}, p = {found.p:.2g}"
                named.append(f"the effect of {name} differs from seed to seed ({test})")
        if not named:
            return []
        read = (
            "read the interval by seeds" if self._by_seeds else "three seeds would tell by how much"
        )
        return [f"{'; '.join(named)}: its sets are no replicates of each other; {read}"]

    @property
    def _by_seeds(self) -> bool:
        return bool(self.rows["seed_low"].notna().any())


def effects(found: Iterable[Group]) -> list[Effects]:
    """Return the factorial of every group that has enough term sets."""
    return [Effects(group) for group in found if not _refusal(group)]


def skipped(found: Iterable[Group]) -> list[str]:
    """Say of each group with finished runs that `effects` leaves out why it does, a line each."""
    return [
        f"{group.title}: {reason}"
        for group in found
        if len(group.done) and (reason := _refusal(group))
    ]


def contrasts(words: Sequence[str] = TERM_SETS) -> dict[str, dict[str, float]]:
    """Return the weights of each main effect and two-way interaction over the term sets.

    With all 16 sets every weight is +1/8 or -1/8: twice the coefficient of a regression on factors
    coded -1 and +1. With fewer, the least-squares fit without higher interactions.

    Returns
    -------
    dict of str to dict of str to float
        Weights by term set, for ``E1`` to ``E4`` and ``E1×E2`` to ``E3×E4``.

    Raises
    ------
    ValueError
        If these sets cannot tell the ten effects apart.
    """
    solution = _solution(words)[1:]
    return {
        name: dict(zip(words, map(float, 2 * row), strict=True))
        for name, row in zip(NAMES, solution, strict=True)
    }


def _design(words: Sequence[str]) -> np.ndarray:
    """Columns: 1, the four terms as -1 and +1, their six products; (term sets, 11)."""
    signs = np.array([[1.0 if bit == "1" else -1.0 for bit in word] for word in words])
    signs = signs.reshape(len(words), 4)
    pairs = [signs[:, a] * signs[:, b] for a, b in PAIRS]
    return np.column_stack([np.ones(len(words)), signs, *pairs])


def _solution(words: Sequence[str]) -> np.ndarray:
    """The weights of each coefficient of the design, (11, term sets)."""
    design = _design(words)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError("main effects and two-way interactions cannot be told apart")
    # Rounded, so that the sixteenths are exact, and MACs of no interaction are zero.
    return np.linalg.pinv(design).round(12)


def _missing(group: Group) -> str:
    return ", ".join(word for word in TERM_SETS if word not in group.seeds)


def _refusal(group: Group) -> str:
    words = [word for word in TERM_SETS if word in group.seeds]
    if not words:
        return "none of the 16 term sets"
    try:
        contrasts(words)
    except ValueError as error:
        return f"{len(words)} of the 16 term sets: {error}; missing: {_missing(group)}"
    return ""
