"""Whether the questions are answered, and whether the answers' cells are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from plugins.contracts.items import ITEMS
from plugins.controls.scenes import NOTHING

__all__ = ["Answered"]


@METRICS.register_module()
class Answered(BaseMetric):
    """Accuracy over all questions; of attention also ``pointing`` and ``weight``.

    Both are of the head that is best at it. ``weight`` is the mean share of a query's weights
    that is on the cell with its answer, and ``pointing`` the share of queries that weigh that cell
    most, their own aside; of several that are weighed most, it counts its part.
    """

    items: dict[str, np.ndarray] | None = None
    """The questions of each scene, and how many of them are answered right."""

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep counts for each scene."""
        for found in data_samples:
            asked = found["answers"] != NOTHING
            right = (found["logits"].argmax(0) == found["answers"])[asked]
            kept: dict[str, Any] = {"asked": int(asked.sum()), "right": int(right.sum())}
            if "weights" in found:
                kept |= _looking(found["weights"].float(), found["places"].flatten())
            self.results.append(kept)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Return means over all questions."""
        counts = {name: np.array([each[name] for each in results]) for name in ("asked", "right")}
        self.items = {ITEMS: np.arange(len(results)), **counts}
        asked = int(counts["asked"].sum())
        found = {"accuracy": counts["right"].sum() / asked}
        for name in ("pointing", "weight"):
            if name in results[0]:
                found[name] = np.sum([each[name] for each in results], axis=0).max() / asked
        return {name: float(value) for name, value in found.items()}


def _looking(weights: torch.Tensor, places: torch.Tensor) -> dict[str, np.ndarray]:
    """Return sums over the queries of a scene, for each head; weights (heads, queries, keys)."""
    (asked,) = torch.nonzero(places != NOTHING, as_tuple=True)
    on_answer = weights[:, asked, places[asked]]
    others = weights[:, asked].clone()
    others[:, torch.arange(len(asked)), asked] = -1
    most = others == others.amax(dim=2, keepdim=True)
    hits = most[:, torch.arange(len(asked)), places[asked]] / most.sum(dim=2)
    return {"weight": on_answer.sum(1).cpu().numpy(), "pointing": hits.sum(1).cpu().numpy()}
