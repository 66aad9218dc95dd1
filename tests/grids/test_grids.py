"""The grids that come with the repository: what they ask for, and that names of runs stay."""

import hashlib
import importlib
from pathlib import Path

import pytest

from plugins.attention.core.word import TERM_SETS
from plugins.contracts.tasks import find_task
from study import data
from study.grid.reading import find, load

GRIDS = Path(__file__).parents[2] / "grids"
SETS = (
    "coco", "cityscapes", "wmt14", "imagenet", "cub", "vqa2", "vqa-cp", "clevr", "flickr30k",
)  # fmt: skip
FULL = [path for name in SETS for path in find([GRIDS / name])]

TRAINED = "89fc90abf9647f0993857c1e9eeca7b840cb92a66062cbc3b3ccf99d86f58399"
"""SHA-256 of the sorted ids of the runs of these grids, of which there are finished ones: a
recipe's new field must not rename them."""
TRAINED_GRIDS = (
    "controls/ally", "controls/offset", "controls/pointer", "controls/salient", "controls/twin",
    "demo/detection", "demo/segmentation", "demo/translation", "embedded/cross", "embedded/encoder",
    "embedded/field", "embedded/segmentation", "embedded/zoo-classification",
    "embedded/zoo-segmentation", "questions/glimpses", "questions/questions",
)  # fmt: skip


def test_names_of_trained_runs_stay():
    grids = [load(GRIDS / f"{name}.yaml") for name in TRAINED_GRIDS]
    ids = sorted({run.id for grid in grids for run in grid.runs()})
    assert hashlib.sha256("\n".join(ids).encode()).hexdigest() == TRAINED


@pytest.mark.parametrize("path", FULL, ids=lambda path: str(path.relative_to(GRIDS)))
def test_a_full_scale_grid_can_be_asked_for(path):
    grid = load(path)
    name = path.relative_to(GRIDS.parent)
    assert {run.seed for run in grid.runs()} == {0, 1, 2}
    head = path.read_text().split("task:")[0]
    assert f" {name} " in head
    assert "ESTIMATE, not measured" in head
    cells = len(grid.cells())
    number = f"{cells} configuration{'s' * (cells > 1)}, {len(grid.runs())} runs."
    assert number in " ".join(line.removeprefix("# ") for line in head.splitlines())
    assert grid.recipe["data"] == path.relative_to(GRIDS).parts[0]


@pytest.mark.parametrize("place", ["coco", "cityscapes", "wmt14"])
def test_self_attention_has_all_sets_without_and_with_deformable_convolution(place):
    words = [mechanism for mechanism, _ in load(GRIDS / place / "self_attention.yaml").cells()]
    bases = ["none", *TERM_SETS]
    assert words == [*bases, *(f"{base}+deformable" for base in bases)]


def test_encoder_decoder_attention_has_all_sets():
    cells = load(GRIDS / "wmt14/encoder_decoder.yaml").cells()
    assert cells == [(terms, ("cross",)) for terms in TERM_SETS]


@pytest.mark.parametrize("place", ["coco", "cityscapes", "wmt14"])
def test_comparisons_share_the_runs_of_the_ablation(place):
    """The same recipe, so that what several ask for is trained once."""
    whole = {run.id for run in load(GRIDS / place / "self_attention.yaml").runs()}
    assert {run.id for run in load(GRIDS / place / "deformable.yaml").runs()} <= whole
    dynamic = load(GRIDS / place / "dynamic.yaml").runs()
    assert {run.mechanism for run in dynamic if run.id in whole} == {"none", "0100"}
    ranges = {run.mechanism.partition("@")[2] for run in dynamic if "dynamic" in run.mechanism}
    assert ranges == {
        run.mechanism.partition("@")[2] for run in dynamic if "0100@" in run.mechanism
    }


def test_the_field_values_are_written_out():
    """A later change of a default must not change what the file means."""
    for path in FULL:
        grid = load(path)
        recipe = find_task(grid.task).Recipe
        # A schedule in updates has no epochs; of the others nothing but the default is meant.
        unsaid = {"epochs", "update_frequency", "evaluation_sentences"}
        unsaid = unsaid if grid.task == "translation" else set()
        assert recipe.always - unsaid <= set(grid.recipe), path


def test_the_data_sets_say_how_many_classes_they_have():
    outputs = {name: importlib.import_module(data.datasets()[name]).OUTPUTS for name in SETS}
    assert outputs == {
        "coco": 80, "cityscapes": 19, "wmt14": 37_008, "imagenet": 1_000, "cub": 200,
        "vqa2": 3_129, "vqa-cp": 3_129, "clevr": 28,
        "flickr30k": 20_000,
    }  # fmt: skip
