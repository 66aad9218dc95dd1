"""What the full-scale grids are registered to show is what they would be judged by today."""

from pathlib import Path

import pytest

from analysis.registered.file import beside, read
from analysis.registered.plan import changes, plan
from analysis.stats.claims import load as load_claims
from study.grid.reading import find, load

GRIDS = Path(__file__).parents[2] / "grids"
SETS = ("coco", "cityscapes", "wmt14", "imagenet", "cub")
FULL = [path for name in SETS for path in find([GRIDS / name])]


@pytest.mark.parametrize("path", FULL, ids=lambda path: str(path.relative_to(GRIDS)))
def test_a_full_scale_grid_is_registered_before_its_runs_as_it_is(path):
    """A change of a claim, a margin or a recipe is to be amended, with its reason."""
    entries = read(beside(path))
    assert (entries[0].finished, entries[0].begun) == (0, 0)
    assert changes(entries[-1].plan, plan(load(path), load_claims())) == []
