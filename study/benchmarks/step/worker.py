"""The process that makes the steps; the command needs no framework."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from study.benchmarks.devices.choice import DEVICES
from study.benchmarks.devices.device import Device
from study.benchmarks.step.made import Made, job_of
from study.benchmarks.step.trainings import Training
from study.worker.parent import Parent

__all__ = ["Bench", "answers", "measure", "serve"]


class Bench:
    """Builds trainings on a device, and keeps the baseline of those that follow.

    Parameters
    ----------
    device: Device
        Where they are.
    recipes, outputs: mapping
        Of each task: its recipe, and the number of classes or words.
    share: int
        Among how many processes the recipe's batch is shared.
    warm_up: int
        Steps of each before the timed ones; the first make the optimizer's state.
    """

    def __init__(
        self,
        device: Device,
        recipes: Mapping[str, Any],
        outputs: Mapping[str, int],
        share: int,
        warm_up: int,
    ) -> None:
        self.device, self.recipes, self.outputs = device, recipes, outputs
        self.share, self.warm_up = share, warm_up
        self.ready: dict[Training, tuple[Made, int]] = {}

    def keep(self, training: Training) -> None:
        """Forget all other trainings."""
        self.ready = {key: made for key, made in self.ready.items() if key == training}
        gc.collect()
        if self.device.kind == "cuda":
            torch.cuda.empty_cache()

    def build(self, training: Training) -> tuple[Made, int]:
        """Return it, and the most memory that it takes, its weights and the optimizer's state too.

        Others that are there meanwhile only keep what they have, so that the growth is its own.
        """
        if training not in self.ready:
            made: list[Made] = []

            def begin() -> None:
                made.append(self._make(training))
                for _ in range(self.warm_up):
                    made[0].step()

            peak = self.device.peak(begin)
            self.ready[training] = made[0], peak
        return self.ready[training]

    def _make(self, training: Training) -> Made:
        recipe = self.recipes[training.task]
        with tempfile.TemporaryDirectory() as folder:
            job = job_of(training, recipe, self.device.kind, self.share, Path(folder))
            maker = "translating" if training.task == "translation" else "openmmlab"
            module = import_module(f"study.benchmarks.step.{maker}")  # with its framework alone
            made: Made = module.make(training, job, self.outputs[training.task])
            return made


def measure(
    groups: Sequence[Sequence[Training]], bench: Bench, rounds: int, seconds: float
) -> Iterator[list[dict[str, Any]]]:
    """Time the trainings of each group in turns; one answer a group, with one entry each."""
    for group in groups:
        bench.keep(group[0])
        found: list[dict[str, Any]] = []
        steps = {}
        for number, training in enumerate(group):
            try:
                made, peak = bench.build(training)
            except Exception as error:
                found.append({"failure": f"{type(error).__name__}: {error}".splitlines()[0]})
                continue
            steps[str(number)] = made.step
            found.append({"text": made.text, "items": made.items, "peak": peak, "failure": ""})
        for place, taken in bench.device.times(steps, rounds, seconds).items():
            found[int(place)]["seconds"] = taken
        yield found


def answers(request: dict[str, Any]) -> Iterator[Any]:
    """Yield the device's name, then an answer a group."""
    device = DEVICES[request["device"]]()
    yield device.name
    groups = [[Training(**fields) for fields in group] for group in request["groups"]]
    keys = ("recipes", "outputs", "share", "warm_up")
    bench = Bench(device, **{key: request[key] for key in keys})
    yield from measure(groups, bench, request["rounds"], request["seconds"])


def serve(parent: Parent) -> None:
    """Answer one request."""
    for answer in answers(parent.hear()):
        parent.tell(answer)
