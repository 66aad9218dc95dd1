"""Whether the best boxes are those that phrases name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from plugins.question_answering.data.layout import read_phrases
from plugins.question_answering.grounding.reading import corners
from plugins.question_answering.metrics.grounding import (
    Grounded,
    Recall,
    best_first,
    hits,
    merged,
    rank,
    recall,
)
from plugins.question_answering.metrics.items import scores_of_questions

__all__ = ["Grounds"]


@METRICS.register_module()
class Grounds(BaseMetric):
    """Recall among the best boxes, by the any-box and by the merged protocol.

    ``accuracy``, ``recall_1``, ``recall_5``, ``recall_10``, ``recall_K_TYPE``
        Share of phrases, and of those of each type, that one of the K best boxes finds: any-box.
        Accuracy is that of the best one.
    ``upper_bound``, ``chance``
        Share of phrases that some box finds; mean share of an image's boxes that do.
    ``merged_1``, ..., ``merged_K_TYPE``, ``merged_upper_bound``
        The same by the merged protocol.

    Parameters
    ----------
    data_root: str
        Folder of the prepared set.
    split: str
        What is evaluated.
    images: int, optional
        Only the phrases of the first so many images.
    **options
        Those of MMEngine's ``BaseMetric``.
    """

    items: dict[str, np.ndarray] | None = None
    """What the last value was made of, phrase by phrase; and the ranks of the first right boxes."""

    def __init__(
        self, data_root: str, split: str, images: int | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.phrases = read_phrases(Path(data_root), split, images)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep the boxes in order for each phrase; one result is a sentence."""
        for sample in data_samples:
            boxes = sample["boxes"].numpy()
            self.results.append(
                [
                    (int(number), best_first(boxes, scores.numpy()))
                    for number, scores in zip(sample["number"], sample["scores"], strict=True)
                ]
            )

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Return the metrics."""
        found = dict(phrase for sentence in results for phrase in sentence)
        phrases = [
            Grounded(found[n], corners(self.phrases[n].boxes), self.phrases[n].types)
            for n in sorted(found)
        ]
        ranks = np.array([rank(phrase) for phrase in phrases])
        types = ["/".join(phrase.types) for phrase in phrases]
        self.items = scores_of_questions((ranks == 1).astype(float).tolist(), types)
        self.items["rank"] = ranks.astype(np.uint16)
        any_box, together = recall(phrases), recall(map(merged, phrases))
        return {
            "accuracy": any_box.at[1],
            **_named("recall", any_box),
            "upper_bound": any_box.upper_bound,
            "chance": float(np.mean([hits(phrase).mean() for phrase in phrases])),
            **_named("merged", together),
            "merged_upper_bound": together.upper_bound,
        }


def _named(name: str, found: Recall) -> dict[str, float]:
    values = {f"{name}_{k}": value for k, value in found.at.items()}
    for kind, at in sorted(found.by_type.items()):
        plain = re.sub(r"\W+", "_", kind).strip("_")
        values |= {f"{name}_{k}_{plain}": value for k, value in at.items()}
    return values
