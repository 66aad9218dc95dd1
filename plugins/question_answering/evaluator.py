"""Whether questions are answered, and whether what they name is looked at."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from torch import Tensor

from plugins.question_answering.data.answers import majority, question_only, score, upper_bound
from plugins.question_answering.data.layout import read_questions
from plugins.question_answering.data.objects import cells_within
from plugins.question_answering.metrics.items import scores_of_questions

__all__ = ["Answers"]


@METRICS.register_module()
class Answers(BaseMetric):
    """Accuracy, and how the mechanism weighs the cells, if it does.

    One right answer is right or wrong; of those of ten people VQA's rule says how right.

    ``accuracy``, ``accuracy_TYPE``
        Of all questions, and of those of each type; of VQA's questions by the type of the answer.
    ``accuracy_first_N``
        By the first N of several glimpses alone.
    ``majority``, ``question_only``, ``upper_bound``
        Of the most frequent training answer; of the most frequent one to each question, whatever
        the image shows; of the best answers that are known.
    ``pointing``, ``pointing_TYPE``, ``pointing_chance``
        Share of the questions that name something with boxes whose highest weight is on a cell in
        them, of the head that is best at it; the share of all cells that are in them.
    ``entropy_HEAD``
        Of the weights, in nats, from head 1 on; of `bilinear`, of those of all pairs.
    ``cells_kept``, ``macs_kept``
        Means over the questions, of hard attention: how many cells it keeps, and what it costs if
        it multiplies these alone.

    Parameters
    ----------
    data_root: str
        Folder of the prepared set.
    split: str
        What is evaluated.
    cells: (int, int)
        Rows and columns.
    images, training_images: int, optional
        Only the questions about the first so many images, in `split` and in train.
    **options
        Those of MMEngine's ``BaseMetric``.
    """

    items: dict[str, np.ndarray] | None = None
    """What the last value was made of, question by question."""

    def __init__(
        self,
        data_root: str,
        split: str,
        cells: tuple[int, int],
        images: int | None = None,
        training_images: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        root, self.cells = Path(data_root), cells
        self.questions = read_questions(root, split, images)
        trained = read_questions(root, "train", training_images)
        self.majority = majority(trained, self.questions)
        self.question_only = question_only(trained, self.questions)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep the answer to each question, and where was looked."""
        for sample in data_samples:
            kept: dict[str, Any] = {"number": sample["number"], "answer": int(sample["predicted"])}
            if "mask" in sample:
                kept["cells_kept"] = float(sample["mask"].sum())
            if "macs_kept" in sample:
                kept["macs_kept"] = float(sample["macs_kept"])
            if "by_first" in sample:
                kept["by_first"] = [int(answer) for answer in sample["by_first"]]
            if "weights" in sample:  # (heads, words, cells)
                kept["entropy"] = torch.special.entr(sample["weights"]).sum((1, 2)).tolist()
                kept |= self._pointing(sample["weights"].sum(1), sample["boxes"])
            elif "presence" in sample:
                kept |= self._pointing(sample["presence"][None], sample["boxes"])
            self.results.append(kept)

    def _pointing(self, heads: Tensor, boxes: Tensor) -> dict[str, Any]:
        if not len(boxes):
            return {}
        inside = cells_within(boxes.tolist(), self.cells).ravel()
        return {"pointing": inside[heads.argmax(1).numpy()], "chance": float(inside.mean())}

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Return the metrics."""
        assert self.dataset_meta is not None
        answers = self.dataset_meta["classes"]
        results = sorted(results, key=lambda each: int(each["number"]))
        asked = [self.questions[each["number"]] for each in results]
        types = [question.answer_type or question.type for question in asked]

        def scores(said: Sequence[int]) -> list[float]:
            pairs = zip(said, asked, strict=True)
            return [score(answers[answer], question.answers) for answer, question in pairs]

        whole = scores([each["answer"] for each in results])
        self.items = scores_of_questions(whole, types)
        found = _by_type("accuracy", whole, types)
        for number in range(len(results[0].get("by_first", ()))):
            first = scores([each["by_first"][number] for each in results])
            found[f"accuracy_first_{number + 1}"] = float(np.mean(first))
        found |= {
            "majority": self.majority,
            "question_only": self.question_only,
            "upper_bound": upper_bound(answers, asked),
        }
        pointed = [
            (each, kind) for each, kind in zip(results, types, strict=True) if "pointing" in each
        ]
        if pointed:
            heads = np.array([each["pointing"] for each, _ in pointed])
            best = heads[:, heads.mean(0).argmax()].astype(float)
            found |= _by_type("pointing", best.tolist(), [kind for _, kind in pointed])
            found["pointing_chance"] = float(np.mean([each["chance"] for each, _ in pointed]))
        if "entropy" in results[0]:
            entropies = np.mean([each["entropy"] for each in results], axis=0)
            found |= {f"entropy_{head}": float(each) for head, each in enumerate(entropies, 1)}
        for name in ("cells_kept", "macs_kept"):
            if name in results[0]:
                found[name] = float(np.mean([each[name] for each in results]))
        return found


def _by_type(name: str, values: Sequence[float], types: Sequence[str]) -> dict[str, float]:
    """Return the mean of all values, and of those of each type if there are several."""
    grouped: defaultdict[str, list[float]] = defaultdict(list)
    for value, kind in zip(values, types, strict=True):
        grouped[re.sub(r"\W+", "_", kind).strip("_")].append(value)
    found = {name: float(np.mean(values))}
    if len(grouped) > 1:
        found |= {f"{name}_{kind}": float(np.mean(grouped[kind])) for kind in sorted(grouped)}
    return found
