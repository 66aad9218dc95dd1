"""Seeds into means, by mechanism, each with its own interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from scipy import stats

__all__ = ["AVERAGED", "CONFIDENCE", "by_mechanism", "half_width"]

CONFIDENCE = 0.95

AVERAGED = (
    *("untrained", "loss_first", "loss_last"),
    *("model_macs", "model_parameters", "mechanism_macs", "mechanism_parameters", "seconds"),
)


def half_width(values: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval of the mean, by Student's t; NaN below two."""
    n = len(values)
    if n < 2:
        return math.nan
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    return float(quantile * pd.Series(values).std(ddof=1) / math.sqrt(n))


def by_mechanism(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a mechanism, in order of appearance.

    Parameters
    ----------
    runs: pandas.DataFrame
        Completed ones of one group.

    Returns
    -------
    pandas.DataFrame
        Index ``mechanism``; ``n`` (seeds), ``mean`` of the metric, ``half_width`` of its 95 %
        confidence interval by the scatter of the mechanism's own seeds alone, the means of the
        columns `AVERAGED`, and the largest ``peak_memory_bytes``.
    """
    grouped = runs.groupby("mechanism", sort=False)
    return pd.DataFrame(
        {
            "n": grouped.size(),
            "mean": grouped["value"].agg(_mean),
            "half_width": grouped["value"].agg(half_width),
            **{name: grouped[name].agg(_mean) for name in AVERAGED},
            "peak_memory_bytes": grouped["peak_memory_bytes"].max(),
        }
    )


def _mean(values: pd.Series) -> float:
    # The mean of pandas' groups rounds otherwise, and would change the bytes of old figures.
    return float(values.mean())
