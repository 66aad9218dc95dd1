"""Runs of full scale that a profile would give no GPU: `study submit` says so."""

from pathlib import Path

import pytest

from study.grid.reading import load
from study.launch.fits import check_gpus
from study.launch.slurm.profile import Profile

GRIDS = Path(__file__).parents[2] / "grids"


@pytest.mark.parametrize("name", ["coco/self_attention", "wmt14/small/self_attention"])
def test_they_are_named(name):
    runs = load(GRIDS / f"{name}.yaml").runs()
    (line,) = check_gpus(runs, Profile(), "slurm")
    assert f"--cluster slurm asks for no GPU, so that {name} would train on CPUs;" in line
    assert check_gpus(runs, Profile(gpus="a100:4"), "mine") == []


def test_small_runs_and_the_smoke_form_are_for_cpus_too():
    small = load(GRIDS / "demo/detection.yaml").runs()
    smoke = load(GRIDS / "coco/self_attention.yaml").smoke().runs()
    assert check_gpus([*small, *smoke], Profile(), "slurm") == []
