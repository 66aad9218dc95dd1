"""Which runs are compared: those whose recipes agree in what both use."""

from __future__ import annotations

import pytest

from analysis.runs.collect import collect
from analysis.stats.group import groups
from analysis.stats.recipes import names
from study.runs.folder import RunFolder


def found(*folders):
    """The mechanisms and seeds of each group, by its variant."""
    frame = collect(RunFolder(folder) for folder in folders)
    assert frame.attrs["broken"] == []
    return {group.variant: dict(group.seeds) for group in groups(frame)}


def test_a_run_joins_every_recipe_that_differs_only_in_what_it_does_not_use(make_run):
    folders = [
        make_run("none", 0, 0.2, unused=["heads"]),
        make_run("1111", 0, 0.3, recipe={"heads": 4}),
        make_run("1111", 0, 0.4, recipe={"heads": 8}),
        make_run("1111", 0, 0.5, recipe={"heads": 8, "epochs": 16}),
    ]
    assert found(*folders) == {
        "epochs=8, heads=4": {"none": 1, "1111": 1},
        "epochs=8, heads=8": {"none": 1, "1111": 1},
        "epochs=16, heads=8": {"1111": 1},
    }


def test_a_field_that_is_used_and_has_its_default_is_not_one_that_is_unused(make_run):
    """Both are absent from the recipe: heads has its default in the second run."""
    folders = [make_run("1111", 0, 0.3, recipe={"heads": 4}), make_run("1111", 0, 0.4)]
    assert found(*folders) == {"heads=4": {"1111": 1}, "heads=None": {"1111": 1}}
    folders.append(make_run("none", 0, 0.2, unused=["heads"]))
    assert found(*folders) == {
        "heads=4": {"1111": 1, "none": 1},
        "heads=None": {"1111": 1, "none": 1},
    }


def test_runs_that_ignore_different_fields_are_compared_with_each_other(make_run):
    folders = [
        make_run("none", 0, 0.2, unused=["heads", "kv_stride"]),
        make_run("efficient_channel", 0, 0.3, recipe={"kv_stride": 2}, unused=["heads"]),
        make_run("gate", 0, 0.4, recipe={"heads": 4}, unused=["kv_stride"]),
        make_run("gate", 0, 0.5, recipe={"heads": 8}, unused=["kv_stride"]),
    ]
    assert found(*folders) == {
        "heads=4": {"none": 1, "efficient_channel": 1, "gate": 1},
        "heads=8": {"none": 1, "efficient_channel": 1, "gate": 1},
    }


def test_runs_that_use_none_of_a_field_are_one_group_without_it(make_run):
    folders = [make_run(word, 0, 0.3, unused=["heads"]) for word in ("none", "efficient_channel")]
    assert found(*folders) == {"": {"none": 1, "efficient_channel": 1}}


def test_versions_of_one_mechanism_are_not_averaged_and_the_others_stand_beside_both(make_run):
    word, newer = "efficient_channel:size=5", {"efficient_channel": 2}
    folders = [
        make_run("none", 0, 0.2),
        make_run(word, 0, 0.3),
        make_run(word, 1, 0.5, mechanisms=newer),
        make_run(f"0010+{word}", 0, 0.5, mechanisms=newer),
    ]
    assert found(*folders) == {
        "version of efficient_channel=1": {"none": 1, word: 1},
        "version of efficient_channel=2": {"none": 1, word: 1, f"0010+{word}": 1},
    }


def test_the_order_of_the_table_is_that_of_the_runs_in_a_group(make_run):
    folders = [
        make_run("1111", 0, 0.3, recipe={"heads": 4}),
        make_run("none", 0, 0.2, unused=["heads"]),
        make_run("1111", 1, 0.3, recipe={"heads": 4}),
    ]
    (group,) = groups(collect(RunFolder(folder) for folder in folders))
    assert group.runs["mechanism"].tolist() == ["1111", "none", "1111"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("0110", ["0110"]),
        ("efficient_channel:size=5:bias=no@3+deformable", ["efficient_channel", "deformable"]),
        ("none+gate:k=0.5", ["none", "gate"]),
    ],
)
def test_a_word_is_read_whether_or_not_its_mechanism_is_installed(word, expected):
    assert names(word) == expected
