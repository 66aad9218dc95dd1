"""Runs tables with known truth: means by mechanism, plus seed and residual noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.runs.table import FIELDS


def world(
    means: Mapping[str, float],
    *,
    seeds: int | Sequence[int] = 3,
    sd: float = 0.0,
    block: float = 0.0,
    rng: np.random.Generator | None = None,
    macs: Mapping[str, float] | None = None,
    **columns: Any,
) -> pd.DataFrame:
    """Return completed runs of each mechanism with each seed, as `analysis.runs.collect` does."""
    rng = rng or np.random.default_rng(0)
    words = list(means)
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    noise = rng.normal(0, 1, (len(words), len(numbers))) * sd
    noise = noise + rng.normal(0, 1, len(numbers)) * block
    values = np.array([means[word] for word in words])[:, None] + noise
    count = len(numbers)
    adds = np.repeat([(macs or {}).get(word, 1e6) for word in words], count)
    frame = pd.DataFrame(
        {
            "id": [f"{word}-s{seed}" for word in words for seed in numbers],
            "task": "translation",
            "data": "pairs",
            "mechanism": np.repeat(words, count),
            "sites": "encoder",
            "seed": np.tile(numbers, len(words)),
            "version": 1,
            "state": "completed",
            "metric": "BLEU",
            "value": values.ravel(),
            "untrained": 0.0,
            "mechanism_macs": adds,
            "model_macs": 1e8 + adds,
            "recipe": "{}",
            "data_card": "pairs: 100 sentences, 100% real",
        }
        | columns
    )
    return frame.reindex(columns=list(dict.fromkeys([*FIELDS, *frame])))
