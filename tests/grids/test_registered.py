"""What the full-scale grids are registered to show is what they would be judged by today."""

from pathlib import Path

import pytest

from analysis.registered.file import beside, read
from analysis.registered.plan import changes, plan
from analysis.stats.claims import load as load_claims
from study.grid.reading import find, load

ROOT = Path(__file__).parents[2]
GRIDS = ROOT / "grids"
OF_QUESTIONS = ROOT / "analysis/claims/questions.yaml"
SETS = dict.fromkeys(("coco", "cityscapes", "wmt14", "imagenet", "cub", "flickr30k"), ())
SETS |= dict.fromkeys(("vqa2", "vqa-cp", "clevr"), (OF_QUESTIONS,))
"""Of each set the files of further claims that its grids are registered with."""
FULL = [path for name in SETS for path in find([GRIDS / name])]


@pytest.mark.parametrize("path", FULL, ids=lambda path: str(path.relative_to(GRIDS)))
def test_a_full_scale_grid_is_registered_before_its_runs_as_it_is(path):
    """A change of a claim, a margin or a recipe is to be amended, with its reason."""
    entries = read(beside(path))
    assert (entries[0].finished, entries[0].begun) == (0, 0)
    further = SETS[path.relative_to(GRIDS).parts[0]]
    assert changes(entries[-1].plan, plan(load(path), load_claims(further))) == []
