"""What grids are registered to show is what they would be judged by today."""

from pathlib import Path

import pytest

from analysis.registered.file import beside, read
from analysis.registered.plan import changes, plan
from analysis.stats.claims import load as load_claims
from study.grid.reading import find, load

ROOT = Path(__file__).parents[2]
GRIDS = ROOT / "grids"
FULL = ("coco", "cityscapes", "wmt14", "imagenet", "cub", "flickr30k", "vqa2", "vqa-cp", "clevr")
SHARED = {"embedded/field.yaml": 6, "questions/fusion.yaml": 9}
"""Runs of other grids that had finished before."""
FILES = GRIDS.rglob("*.registered.json")
REGISTERED = sorted(
    {*find([GRIDS / name for name in FULL])}
    | {file.with_name(file.name.replace(".registered.json", ".yaml")) for file in FILES}
)


def judged_by(path):
    """The files of further claims that a grid is registered with, and the margins."""
    room, name = path.relative_to(GRIDS).parts[0], path.stem
    if room == "controls":
        return [ROOT / f"analysis/controls/{name}.yaml"], None
    if room in ("questions", "vqa2", "vqa-cp", "clevr"):
        own = {"accuracy": 0.01} if room == "questions" else None
        return [ROOT / "analysis/claims/questions.yaml"], own
    if room == "embedded":
        images = {"detection": "mAP", "segmentation": "mIoU", "field": "mIoU"}
        point = {images[name]: 0.01} if name in images else {"BLEU": 1.0}
        return [ROOT / "analysis/claims/field.yaml"] if name == "field" else [], point
    return [], None


@pytest.mark.parametrize("path", REGISTERED, ids=lambda path: str(path.relative_to(GRIDS)))
def test_a_grid_is_registered_before_its_runs_as_it_is(path):
    """A change of a claim, a margin or a recipe is to be amended, with its reason."""
    entries = read(beside(path))
    shared = SHARED.get(str(path.relative_to(GRIDS)), 0)
    assert (entries[0].finished, entries[0].begun) == (shared, 0)
    claims = load_claims(*judged_by(path))
    assert changes(entries[-1].plan, plan(load(path), claims)) == []
