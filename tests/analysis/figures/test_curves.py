"""Learning curves: what is averaged, what is drawn, and that the names can be told apart."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from analysis.figures.curves import draw, figure, mean_curve
from analysis.figures.drawing.line_ends import spread
from analysis.figures.drawing.page import pages
from analysis.figures.drawing.palette import COLORS, OTHERS
from analysis.stats.group import groups


def drawn(frame):
    found = groups(frame, "none")
    ((_, heading, _),) = pages(found)
    image = figure(found, heading)
    image.draw_without_rendering()  # as writing it does: limits that are not final move here
    return image


def lines(axes):
    """The mean of each mechanism."""
    return {line.get_gid(): line for line in axes.lines if line.get_gid() not in (None, "tie")}


def test_the_mean_is_taken_over_the_epochs_that_all_curves_cover():
    one = np.array([[0, 1.0], [2, 3.0], [4, 5.0]])
    other = np.array([[1, 10.0], [2, 20.0], [3, 30.0]])
    assert mean_curve([one, np.empty((0, 2)), other]).tolist() == [[1, 6], [2, 11.5], [3, 17]]
    assert mean_curve([one]).tolist() == one.tolist()
    assert mean_curve([one, one + np.array([10, 0])]).shape == (0, 2)
    assert mean_curve([]).shape == (0, 2)


def test_lines_are_the_means_of_the_runs_curves(crowd):
    frame = crowd(3, ["detection"])
    left, right = drawn(frame).axes
    assert (left.get_xlabel(), left.get_ylabel()) == ("epoch", "mAP points")
    assert (right.get_xlabel(), right.get_ylabel()) == ("epoch", "training loss, logarithmic")
    by_mechanism = frame.groupby("mechanism")
    assert set(lines(left)) == set(lines(right)) == set(by_mechanism.groups)
    for axes, column in ((left, "curve"), (right, "loss_curve")):
        for mechanism, line in lines(axes).items():
            mean = np.mean([*by_mechanism.get_group(mechanism)[column]], axis=0)
            assert line.get_xydata() == pytest.approx(mean)


def test_two_points_are_no_curve_and_the_loss_stands_alone(crowd):
    frame = crowd(3, ["detection"])
    frame["curve"] = [np.array([curve[0], curve[-1]]) for curve in frame["curve"]]
    (only,) = drawn(frame).axes
    assert only.get_ylabel() == "training loss, logarithmic"
    assert set(lines(only)) == set(frame["mechanism"])
    frame.at[0, "curve"] = np.array([[0, 0.0], [1, 0.1], [2, 0.2]])
    assert len(drawn(frame).axes) == 2


def test_key_mechanisms_have_colours_and_their_seeds_and_the_others_are_grey(crowd):
    left, _ = drawn(crowd(3, ["detection"])).axes
    means = lines(left)
    assert means["0110"].get_color() == COLORS["0110"]
    assert means["0101"].get_color() == OTHERS
    thin = [line.get_color() for line in left.lines if line.get_gid() is None]
    assert thin.count(COLORS["0110"]) == 3
    assert OTHERS not in thin
    # The same colour means the same terms; the stroke tells what was added.
    assert means["0010"].get_color() == means["0010+deformable"].get_color()
    assert means["0010"].get_linestyle() != means["0010+deformable"].get_linestyle()


def test_no_two_names_overlap_and_each_is_tied_to_the_end_of_its_line(crowd):
    image = drawn(crowd(1, ["detection"]))
    for axes in image.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == len(lines(axes)) == 27
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        assert all(image.bbox.contains(*corner) for box in boxes for corner in box.corners())
        ends = {tuple(line.get_xydata()[-1]) for line in lines(axes).values()}
        ties = [line.get_xydata() for line in axes.lines if line.get_gid() == "tie"]
        starts = axes.transData.transform([tie[0] for tie in ties])
        assert starts == pytest.approx(
            axes.transData.transform([min(ends, key=lambda e: math.dist(e, t[0])) for t in ties])
        )
        stops = axes.transData.transform([tie[-1] for tie in ties])
        for text, box, stop in zip(axes.texts, boxes, stops, strict=True):
            assert box.y0 <= stop[1] <= box.y1, text.get_text()
            assert 0 < box.x0 - stop[0] < 10


@pytest.mark.parametrize("seed", range(5))
def test_names_move_as_little_as_may_be(seed):
    wanted = np.random.default_rng(seed).normal(50, 10, 6)
    found = spread(wanted.tolist(), 8, 0, 100)
    order = np.argsort(wanted)
    assert (np.diff(found[order]) >= 8 - 1e-9).all()
    assert found.min() >= 4
    assert found.max() <= 96
    gaps = [
        {"type": "ineq", "fun": lambda x, a=a, b=b: x[b] - x[a] - 8}
        for a, b in itertools.pairwise(order)
    ]
    best = minimize(
        lambda x: ((x - wanted) ** 2).sum(), wanted, constraints=gaps, bounds=[(4, 96)] * 6
    )
    assert ((found - wanted) ** 2).sum() == pytest.approx(best.fun, rel=1e-3, abs=1e-3)


def test_too_many_names_keep_their_distance_and_run_over_evenly():
    assert spread([5, 5, 5], 10, 0, 20).tolist() == [0, 10, 20]


def test_a_diverged_loss_and_missing_curves_leave_the_rest(run, frame_of):
    frame = frame_of(
        run("none", 0, 0.3, loss_curve=[[1.0, 3.0], [2.0, math.nan], [3.0, math.inf]]),
        run("none", 1, 0.3, loss_curve=[[1.0, 5.0], [2.0, None]]),
        run("0010", 0, 0.3, curve=[], loss_curve=[]),
        run("1111", 0, 0.3, curve=None, loss_curve=math.nan),
        run("0110", 0, 0.3, loss_curve=[[1.0, -1.0]]),
    )
    left, right = drawn(frame).axes
    assert set(lines(left)) == {"none", "0110"}
    assert set(lines(right)) == {"none", "0110"}
    assert lines(right)["none"].get_xydata().tolist() == [[1, 4]]
    assert right.get_ylabel() == "training loss"  # no logarithm of what is negative


def test_one_seed_is_said(crowd):
    for seeds, said in ((1, True), (2, False)):
        image = drawn(crowd(seeds, ["detection"]))
        foot = " ".join(text.get_text() for text in image.texts).replace("\n", " ")
        assert ("One seed" in foot) == said
        assert ("mean over seeds" in foot) == (not said)


def test_runs_without_any_curve_are_no_figure(run, frame_of, tmp_path):
    found = groups(frame_of(run("none", 0, 0.3, curve=[], loss_curve=[])), None)
    assert draw(found, tmp_path) == []
    without = groups(frame_of(run("none", 0, 0.3)).drop(columns=["curve", "loss_curve"]), None)
    assert draw(without, tmp_path) == []
