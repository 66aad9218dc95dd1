"""A task that trains in milliseconds, installed the way a third party would install one.

It counts to ``epochs``, one checkpoint a step, and does as its recipe says: fails, sleeps, eats
memory, or does not fit when it is probed. A step at full size takes ``seconds``. It hands over
so many ``items`` at each evaluation.
"""

import os
import textwrap
from pathlib import Path

import pytest
from command import study

from study.runs.folder import iter_runs
from study.status.states import states_of

TASK = """
    from pydantic import Field

    from plugins.attention.core.site import MapSite, Place
    from plugins.contracts.items import CountsItems
    from plugins.contracts.metric import Metric
    from plugins.contracts.recipe import Recipe
    from plugins.contracts.task import Probes, Smokes, Task
    from plugins.openmmlab.pretrained import weights_files

    class ToyRecipe(Recipe):
        data: str = "toy-data"
        epochs: int = Field(3, ge=1)
        seconds: float = 0.0
        failing: str = ""
        unfit: str = ""
        megabytes: int = 0
        items: int = 0
        pretrained: str = ""

    class Toy(Task, Smokes, Probes, CountsItems):
        name = "toy"
        Recipe = ToyRecipe
        sites = ("a", "b")
        default_sites = ("a",)
        metrics = (Metric("score"),)
        imports = ("toytask.train",)

        def site(self, name, recipe):
            if name not in self.sites:
                raise ValueError(name)
            return MapSite(places=(Place.AFTER, Place.INSTEAD), channels=8)

        def check(self, word, sites, recipe):
            super().check(word, sites, recipe)
            if word.named("dynamic") and "b" in sites:
                raise ValueError("no dynamic convolution at b")

        def weights(self, recipe):
            return weights_files(recipe.pretrained or None)

        def smoke(self, recipe):
            return recipe.model_copy(update={"epochs": 2, "pretrained": ""})

        def cost(self, job, outputs=None):
            from toytask import train
            return train.cost(job)

        def train(self, job):
            from toytask import train
            train.train(job)

        def probe(self, job, steps, outputs=None):
            from toytask import train
            return train.probe(job, steps)

        def value_of_items(self, items, weights):
            return weights @ items["points"] / weights.sum(axis=1)

        def training_steps(self, recipe, items, data):
            return recipe.epochs * items
"""
TRAIN = """
    import random, time
    from pathlib import Path

    class Cost:
        def to_json(self):
            return {"model": {"macs": 100, "parameters": 10}, "input_shape": [1],
                    "mechanism": {"macs": 20, "parameters": 2}, "uncounted": {}}

    def cost(job):
        return Cost()

    def probe(job, steps):
        from plugins.contracts.probe import Probed

        if job.recipe.failing == str(job.mechanism):
            raise RuntimeError("as told")
        if job.recipe.unfit == str(job.mechanism):
            import torch

            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        took = job.recipe.seconds * 1000 / job.world
        return Probed(milliseconds=(took,) * steps, warm_up=1, inputs="numbers", kernels=7)

    def items(score, number):
        import numpy as np

        points = np.linspace(score - 1, score + 1, number)
        return {"item": np.arange(number), "points": points}

    def train(job):
        state = job.folder / "checkpoints" / "count"
        state.parent.mkdir(exist_ok=True)
        done = int(state.read_text()) if state.exists() else 0
        if not done:
            job.record("untrained", step=0, epoch=0, score=0.0)
        eaten = bytearray(job.recipe.megabytes << 20)
        eaten[::4096] = b"x" * len(eaten[::4096])  # pages count once they are written to
        for step in range(done + 1, job.recipe.epochs + 1):
            time.sleep(job.recipe.seconds)
            if job.recipe.failing == str(job.mechanism):
                raise RuntimeError("as told")
            score = random.Random(job.seed * 1000 + step).random()
            job.record("train", step=step, epoch=step, loss=1 / step)
            if job.recipe.items:
                job.items(items(score, job.recipe.items))
            job.record("val", step=step, epoch=step, score=score)
            state.write_text(str(step))
"""
DATA = """
    from plugins.contracts.dataset import Card
    SOURCES = ()
    CARD = Card(**{card})
    def prepare(sources, out, progress):
        (out / "file").write_text("x")
        return {{"items": {{"train": 1}}}}
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Install the toy task, prepare its data, and return a function that writes a grid file."""
    site = tmp_path / "site"
    package = site / "toytask"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "task.py").write_text(textwrap.dedent(TASK))
    (package / "train.py").write_text(textwrap.dedent(TRAIN))
    info = site / "toytask-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toytask\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[study.tasks]\ntoy = toytask.task:Toy\n[study.datasets]\ntoy-data = toytask.data\n"
    )
    (package / "data.py").write_text(textwrap.dedent(DATA.format(card=_card())))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    assert study("data", "prepare", "toy-data").returncode == 0

    def write(text, name="grid.yaml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


def _card():
    return {
        "task": "toy",
        "content": "toy numbers",
        "licence": "none",
        "unit": "numbers",
        "benchmark": "anything",
        "composed": True,
        "in_domain": True,
        "packages": (),
        "notes": (),
        "splits": ("train",),
    }


def submit(*arguments, code=0, verb="submit"):
    """Run a verb that must end with `code`; what it printed."""
    done = study(verb, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def runs():
    """The runs that have a folder."""
    return list(iter_runs(Path(os.environ["STUDY_RUNS"])))


def states():
    """Their states, sorted."""
    return sorted(states_of(runs()).of.values())
