"""Where in a residual block a mechanism stands, as an option of its word."""

import pytest

from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.standing import cost_at, parts_at, placed
from plugins.attention.core.word import Word
from plugins.contracts.tasks import find_task

EITHER = ("cbam", "gather_excite", "global_context", "nonlocal", "squeeze_excite")
STAGE = MapSite(
    places=(Place.AFTER, Place.INSTEAD, Place.BRANCH),
    channels=64,
    branch_channels=256,
    size=(4, 6),
)


@pytest.mark.parametrize("name", EITHER)
def test_by_default_it_stands_where_all_stand_and_its_word_says_nothing_of_it(name):
    (part,) = Word.parse(name).parts
    assert str(part) == name
    assert part == Word.parse(f"{name}:at=branch").parts[0].model_copy(update={"at": "convolution"})
    assert parts_at(Word.parse(name), STAGE) == {Place.AFTER: part}
    with pytest.raises(ValueError, match=f"'{name}:at=convolution' is written '{name}'"):
        Word.parse(f"{name}:at=convolution")


@pytest.mark.parametrize("name", EITHER)
def test_on_the_branch_it_has_the_channels_of_the_branch(name):
    word = Word.parse(f"{name}:at=branch")
    assert parts_at(word, STAGE) == {Place.BRANCH: word.parts[0]}
    wide = MapSite(places=(Place.AFTER,), channels=256, size=(4, 6))
    assert cost_at(word, STAGE) == cost_at(Word.parse(name), wide)


def test_beside_it_there_is_room_for_what_stands_after_the_convolution():
    word = Word.parse("0010+cbam:at=branch:reduction=8+deformable")
    assert {place.name: str(part) for place, part in parts_at(word, STAGE).items()} == {
        "AFTER": "0010",
        "BRANCH": "cbam:at=branch:reduction=8",
        "INSTEAD": "deformable",
    }
    for other in ("squeeze_excite:at=branch", "global_context:at=branch"):
        with pytest.raises(ValueError, match="would stand on the branch before the residual sum"):
            parts_at(Word.parse(f"cbam:at=branch+{other}"), STAGE)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_grid_has_it_at_stages_of_either_kind_of_block_alone(task):
    task, word = find_task(task), Word.parse("squeeze_excite:at=branch")
    for depth, times in [(14, 4), (18, 1)]:
        recipe = task.Recipe(depth=depth)
        task.check(word, task.default_sites, recipe)
        site = task.site("conv4", recipe)
        (part,) = word.parts
        assert part.place(site) is Place.BRANCH
        assert site.at(Place.BRANCH).channels == times * site.channels
    for site, reason in [
        ("image", "stands on the branch before the residual sum, and there is none of that at 'im"),
        ("after:layer3.*.bn2", "cannot stand at 'after:layer3.*.bn2': at=branch is for stages"),
        ("before:layer3.*.conv2", "a path says itself where it leads, so leave at=branch out"),
    ]:
        with pytest.raises(ValueError, match=reason.replace("*", r"\*")):
            task.check(word, (site,), recipe)


def test_in_the_head_there_is_no_branch():
    task, word = find_task("segmentation"), Word.parse("cbam:at=branch")
    recipe = task.Recipe()
    with pytest.raises(ValueError, match="there is none of that at 'head'"):
        task.check(word, ("head",), recipe)
    sites = {name: task.site(name, recipe) for name in ("conv4", "head")}
    assert {name: list(parts) for name, parts in placed(word, sites).items()} == {
        "conv4": [Place.BRANCH],
        "head": [],
    }


def test_a_wrong_place_is_told_with_the_right_ones():
    with pytest.raises(ValueError, match="at=sum: Input should be 'convolution' or 'branch'"):
        Word.parse("cbam:at=sum")
    with pytest.raises(ValueError, match="'selective_kernel' has no option 'at'"):
        Word.parse("selective_kernel:at=branch")
