"""What runs recorded beside their first metric, in tables and in notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command import study
from worlds import world

from analysis.stats.group import groups
from analysis.tables.others import by_metric, others
from study.errors import StudyError


@pytest.fixture
def frame():
    """Two mechanisms, of which the first looks nowhere."""
    return world(
        {"none": 0.6, "soft": 0.7},
        seeds=2,
        task="question_answering",
        metric="accuracy",
        **{
            "metrics.accuracy": [0.6, 0.6, 0.7, 0.7],
            "metrics.accuracy_count": [0.4, 0.42, 0.5, 0.54],
            "metrics.entropy_1": [np.nan, np.nan, 3.0, 3.5],
            "metrics.loss_of_something": 1.0,
            "metrics.majority": 0.1234,
            "metrics.pointing": [np.nan, np.nan, 0.61, 0.63],
            "metrics.pointing_chance": [np.nan, np.nan, 0.05, 0.08],
            "metrics.upper_bound": 1.0,
        },
    )


def test_a_note_tells_what_the_data_alone_give(frame):
    (group,) = groups(frame, "none")
    bounds = "majority 12.34, pointing_chance 5.00 to 8.00, upper_bound 100.00"
    assert f"the data alone give: {bounds}" in group.notes
    (other,) = groups(world({"none": 20, "1000": 21}), "none")
    assert not any("data alone" in note for note in other.notes)


def test_other_metrics_stand_in_a_table_of_their_own(frame):
    (group,) = groups(frame, "none")
    shown = others(group)
    assert list(shown) == ["mechanism", "accuracy_count points", "entropy_1", "pointing points"]
    assert shown.to_numpy().tolist() == [
        ["none", "41.00", "-", "-"],
        ["soft", "52.00", "3.25", "62.00"],
    ]
    (plain,) = groups(world({"none": 20, "1000": 21}), "none")
    assert others(plain).empty


def test_any_metric_can_be_the_one_that_is_compared(frame):
    (group,) = groups(by_metric(frame, "accuracy_count"), "none")
    assert group.metric.shown == "accuracy_count points"
    assert group.rows["mean"].tolist() == pytest.approx([0.41, 0.52])
    assert group.rows["difference"].tolist() == pytest.approx([0, 0.11])
    (looking,) = groups(by_metric(frame, "pointing"), None)
    assert looking.rows["mechanism"].tolist() == ["soft"]
    assert not looking.cautions


def test_grids_whose_runs_lack_the_metric_are_left_out_with_a_sentence():
    names = ("cross", "encoder", "zoo-classification", "zoo-segmentation")
    grids = [Path(__file__).parents[2] / f"grids/embedded/{name}.yaml" for name in names]
    done = study("table", *grids, "--metric", "perplexity")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"left out: no run of embedded/zoo-{task} has recorded perplexity"
        for task in ("classification", "segmentation")
    ]
    assert done.stdout.count("- perplexity: lower is better") == 2


def test_a_metric_that_no_run_has_is_refused(frame):
    with pytest.raises(
        StudyError, match=r"--metric acuracy_count: .*did you mean 'accuracy_count'"
    ):
        by_metric(frame, "acuracy_count")
