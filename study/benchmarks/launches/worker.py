"""The process that counts; the command needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from plugins.attention.kernels.column import as_on_gpu
from study.benchmarks.cases import Case
from study.benchmarks.launches.counting import Step, count
from study.benchmarks.on_cuda.cases import settings
from study.benchmarks.on_cuda.rows import OURS
from study.benchmarks.on_cuda.worker import step_of
from study.worker.parent import Parent

__all__ = ["measure", "serve"]


def measure(cases: Sequence[Case]) -> Iterator[dict[str, dict[str, Any]]]:
    """Count both passes of all sides of each setting; one answer a setting."""
    for group in settings(list(cases)):
        found = {OURS: _count(group[0], "ours")}
        found |= {case.reference: _count(case, "reference") for case in group}
        yield {side: asdict(step) for side, step in found.items()}


def _count(case: Case, which: str) -> Step:
    side = step_of(case, which, "cpu")
    present = [side.x, *side.module.state_dict(keep_vars=True).values()]
    # The second step: what is made once and kept is no part of a step.
    for _ in range(2):
        side.forget()
        with as_on_gpu():  # what is not ours has one form
            found = count(lambda: side.module(side.x), side.seed, present)
    side.forget()
    return found


def serve(parent: Parent) -> None:
    """Answer one request with an answer a setting."""
    for answers in measure([Case.from_json(fields) for fields in parent.hear()]):
        parent.tell(answers)
