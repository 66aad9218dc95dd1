"""A metric where lower is better: everything that judges or orders asks its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from worlds import world

from analysis.figures.accuracy_cost import figure
from analysis.figures.effects import GAIN as GAIN_COLOR
from analysis.figures.effects import LOSS as LOSS_COLOR
from analysis.figures.effects import figure as effects_figure
from analysis.stats.claimfile import Claim, Comparison
from analysis.stats.claims import judge
from analysis.stats.effects import TERM_SETS, effects
from analysis.stats.estimate import Estimate
from analysis.stats.group import groups
from analysis.stats.metrics import axis, fine
from analysis.stats.verdicts import judged
from analysis.tables.table import markdown
from plugins.contracts.metric import Metric
from plugins.contracts.tasks import find_task, metric_of

LOSS = Metric("loss", higher_is_better=False)
GAIN = Metric("gain")
BUILT_IN = ("classification", "detection", "segmentation", "translation")
PERPLEXITY = {"metric": "perplexity", "untrained": 900.0}


def test_definitions_are_the_task_s_and_plain_ones_of_what_is_not_installed():
    assert not metric_of("translation", "perplexity").higher_is_better
    assert metric_of("detection", "mAP").point == 0.01
    assert metric_of("a task of nobody", "loss") == Metric("loss")
    assert metric_of("translation", "chrF") == Metric("chrF")


def test_the_last_digit_of_a_difference_is_a_hundredth_of_a_point():
    assert fine(metric_of("translation", "BLEU"), 1.234, signed=True) == "+1.23"
    assert fine(metric_of("segmentation", "mIoU"), 0.012345) == "1.23"
    assert fine(Metric("loss", point=100), -5.4) == "-0.05"
    assert fine(Metric("loss", decimals=4), 0.5) == "0.5000"  # or finer, as its values


SHOWN = [
    ("classification", "accuracy", 0.897, "89.70", "accuracy points"),
    ("classification", "accuracy_5", 0.5, "50.00", "accuracy_5 points"),
    ("classification", "mean_class_accuracy", 0.1234, "12.34", "mean_class_accuracy points"),
    ("classification", "cross_entropy", 2.303, "2.30", "cross_entropy"),
    ("detection", "mAP", 0.055, "5.50", "mAP points"),
    ("detection", "mAP_50", 0.5, "50.00", "mAP_50 points"),
    ("detection", "mAP_75", -0.00126, "-0.13", "mAP_75 points"),
    ("segmentation", "mIoU", 0.7612, "76.12", "mIoU points"),
    ("segmentation", "mAcc", 1.0, "100.00", "mAcc points"),
    ("segmentation", "aAcc", 0.06, "6.00", "aAcc points"),
    ("translation", "BLEU", 27.3, "27.30", "BLEU"),
    ("translation", "perplexity", 4.987, "4.99", "perplexity"),
]
"""Of every metric a value, as people read it, and what heads a column of such."""


@pytest.mark.parametrize(("task", "name", "value", "shown", "head"), SHOWN)
def test_people_read_points_with_trailing_zeros_and_a_plain_minus(task, name, value, shown, head):
    metric = metric_of(task, name)
    assert metric.format(value) == fine(metric, value) == shown
    assert metric.shown == head
    signed = metric.format(value, signed=True)
    assert signed[0] in "+-"
    assert float(signed) == pytest.approx(value / metric.point, abs=0.005)


def test_every_metric_of_the_tasks_is_among_them():
    known = {(task, metric.name) for task in BUILT_IN for metric in find_task(task).metrics}
    assert {case[:2] for case in SHOWN} == known


@pytest.mark.parametrize("kind", ["greater", "equivalent", "not_worse"])
@pytest.mark.parametrize("effect", [-3.0, -0.9, -0.4, 0.0, 0.4, 0.9, 3.0])
def test_a_verdict_is_that_of_the_mirrored_contrast_of_a_gain(kind, effect):
    loss = judged(kind, Estimate(effect, 0.1, 8, 3), 0.5, "x", LOSS)
    gain = judged(kind, Estimate(-effect, 0.1, 8, 3), 0.5, "x", GAIN)
    assert loss.verdict == gain.verdict
    assert loss.depth == pytest.approx(gain.depth)
    assert (loss.effect, loss.low, loss.high) == pytest.approx(
        (-gain.effect, -gain.high, -gain.low)
    )


@pytest.mark.parametrize(
    ("kind", "effect", "said"),
    [
        ("greater", -3.0, "-3.00 loss, 90 % interval -3.19 to -2.81, lies below -0.50"),
        ("greater", 3.0, "+3.00 loss, 90 % interval +2.81 to +3.19, lies above -0.50"),
        ("not_worse", 0.0, "+0.00 loss, 90 % interval -0.19 to +0.19, lies below 0.50"),
        ("equivalent", 0.0, "+0.00 loss, 90 % interval -0.19 to +0.19, lies within ±0.50"),
    ],
)
def test_the_reason_names_the_side_that_is_meant(kind, effect, said):
    assert judged(kind, Estimate(effect, 0.1, 8, 3), 0.5, "x", LOSS).reason == f"x = {said}"


def claim(**tests):
    words = {"statement": "s", "source": "us", "tasks": ["translation"], "attention": "self"}
    margins = {"perplexity": 2.0}
    return Claim(id="x", tests=[Comparison(**tests)], margins=margins, **words)


def test_a_claim_of_better_is_supported_by_what_is_lower():
    (group,) = groups(world({"1111": 20.0, "0000": 40.0}, sd=0.3, **PERPLEXITY))
    better, worse = {"1111": 1.0, "0000": -1.0}, {"1111": -1.0, "0000": 1.0}
    for weights, word in ((better, "supported"), (worse, "contradicted")):
        (verdict,) = judge([group], [claim(greater=weights, margin=1)])
        assert verdict.verdict == word
        assert abs(verdict.effect) == pytest.approx(20, abs=1)


def test_training_that_did_not_lower_it_is_no_evidence_and_is_named():
    frame = world({"1111": 20.0, "0000": 20.0}, sd=0.01, **PERPLEXITY)
    frame.loc[frame["id"] == "0000-s1", "untrained"] = 15.0
    (group,) = groups(frame)
    (note,) = [note for note in group.notes if note.startswith("not below the metric")]
    assert "untrained network: 0000 seed 1 (" in note
    assert note.count("seed") == 1
    (verdict,) = judge([group], [claim(equivalent={"1111": 1.0, "0000": -1.0})])
    assert "but runs of 0000 are not below the untrained network" in verdict.reason
    frame["untrained"] = 20.0
    (verdict,) = judge(groups(frame), [claim(equivalent={"1111": 1.0, "0000": -1.0})])
    assert "training lowered none of them by more than the margin" in verdict.reason


def test_only_what_lowers_it_has_a_price():
    means = {word: 50.0 - 4 * (word[1] == "1") + 3 * (word[3] == "1") for word in TERM_SETS}
    macs = {word: 1e6 * (1 + (word[1] == "1") + (word[3] == "1")) for word in TERM_SETS}
    (found,) = effects(groups(world(means, seeds=2, sd=0.01, macs=macs, **PERPLEXITY)))
    price = found.rows.set_index("name")["macs_per_point"]
    assert price["E2"] == pytest.approx(1e6 / 4, rel=0.01)
    assert math.isnan(price["E4"])
    assert "perplexity: lower is better" in found.notes
    image = effects_figure([found])
    rows = dict(zip(found.rows["name"], found.rows["effect"], strict=True))
    tones = {
        line.get_xdata()[0]: line.get_color()
        for line in image.axes[0].lines
        if line.get_marker() == "o"
    }
    assert (tones[rows["E2"]], tones[rows["E4"]]) == (GAIN_COLOR, LOSS_COLOR)
    legend = [text.get_text() for text in image.legends[0].get_texts()]
    assert legend[:2] == ["makes the metric better", "makes it worse"]


def test_the_front_runs_along_the_lowest_means_and_the_axis_says_why():
    means = {"none": 60.0, "0010": 40.0, "0011": 55.0, "1111": 30.0}
    macs = {"none": 0.0, "0010": 1e6, "0011": 2e6, "1111": 3e6}
    found = groups(world(means, macs=macs, seeds=2, **PERPLEXITY), "none")
    image = figure(found, "a heading")
    (axes,) = image.axes
    (front,) = (line for line in axes.lines if line.get_gid() == "front")
    assert list(front.get_ydata()) == [60.0, 40.0, 30.0]
    assert axes.get_ylabel() == axis(found[0].metric) == "perplexity (lower is better)"
    foot = " ".join(text.get_text() for text in image.texts).replace("\n", " ")
    assert "no other of them costs less and reaches a lower mean" in foot


def test_a_table_says_that_lower_is_better_and_of_others_nothing():
    for columns, said in ((PERPLEXITY, True), ({}, False)):
        text = markdown(groups(world({"1111": 20.0}, rng=np.random.default_rng(1), **columns)))
        assert ("- perplexity: lower is better\n" in text) == said
        assert ("lower is better" in text) == said
