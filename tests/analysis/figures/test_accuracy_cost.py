"""What the figure shows, read back from the artists: accuracy against each cost."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import statsmodels.formula.api as smf
from matplotlib.markers import CARETDOWN, CARETUP
from scipy import stats

from analysis.figures.accuracy_cost import draw, figure
from analysis.figures.drawing import panel
from analysis.figures.drawing.page import pages
from analysis.figures.drawing.palette import COLORS
from analysis.figures.drawing.panel import MACS, PARAMETERS, TIME
from analysis.figures.drawing.pareto import front
from analysis.stats.group import groups

FIVE = [
    ("none", 0.30, 0.0),
    ("0010", 0.34, 1e6),
    ("0100", 0.33, 4e6),
    ("0110", 0.36, 5e6),
    ("1111", 0.35, 9e6),
]


@pytest.fixture
def five(run, frame_of):
    """Five mechanisms with two seeds; 0100 and 1111 are dominated."""
    return frame_of(
        *(
            run(word, seed, value + 0.02 * seed, mechanism_macs=macs, seconds=90 + macs / 1e6)
            for word, value, macs in FIVE
            for seed in (0, 1)
        )
    )


def drawn(frame, cost=MACS, baseline="none"):
    (_, heading, members), *rest = pages(groups(frame, baseline))
    assert not rest
    image = figure(members, heading, cost)
    image.draw_without_rendering()  # as writing it does: limits that are not final move here
    return image


def markers(axes):
    """The data points that were drawn, by their coordinates."""
    lines = [line for line in axes.lines if line.get_marker() in ("o", "s", "^", "D")]
    return {(float(line.get_xdata()[0]), float(line.get_ydata()[0])): line for line in lines}


def named(axes):
    """What the labels say, without the line breaks."""
    texts = [text.get_text().replace("\n", " ") for text in axes.texts]
    return [text.replace("none (w/o)", "none") for text in texts]


def bars_of(axes):
    """Ends of the intervals, low and high, by the cost that they stand at."""
    return [bar.get_segments()[0] for bar in axes.collections]


def halves(frame):
    """Half the interval of each mean, by the larger error of statsmodels' regression."""
    fit = smf.ols("value ~ C(mechanism) + C(seed)", frame).fit()
    wide = fit.get_robustcov_results("HC3")
    t = stats.t.ppf(0.975, fit.df_resid)
    found = {}
    for word in frame["mechanism"].unique():
        row = fit.model.exog[(frame["mechanism"] == word).to_numpy()].mean(axis=0)
        found[word] = t * max(float(f.t_test(row).sd.item()) for f in (fit, wide))
    return found


def notes(image):
    return " ".join(text.get_text() for text in image.texts).replace("\n", " ")


@pytest.mark.parametrize("cost", [MACS, PARAMETERS, TIME])
@pytest.mark.parametrize("seeds", [1, 3])
def test_no_two_labels_overlap_or_cover_a_point_or_leave_the_axes(crowd, seeds, cost):
    frame = crowd(seeds, ["detection"])
    image = drawn(frame, cost)
    (axes,) = image.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    *_, last = image.get_label().split("\n")
    left_out = last.partition("for want of room: ")[2].removesuffix(" (conv4.conv5).")
    words = [word for text in [*named(axes), left_out] for word in text.split(", ") if word]
    assert sorted(words) == sorted(frame["mechanism"].unique())
    assert not set(left_out.split(", ")) & {*COLORS, "0000", "none+deformable", "1111+deformable"}
    overlapping = [
        (a.get_text(), b.get_text())
        for (a, i), (b, j) in itertools.combinations(zip(axes.texts, boxes, strict=True), 2)
        if i.overlaps(j)
    ]
    assert overlapping == []
    frame_box = axes.get_window_extent()
    assert all(frame_box.contains(*corner) for box in boxes for corner in box.corners())
    points = axes.transData.transform(list(markers(axes)))
    assert not any(box.contains(*point) for box in boxes for point in points)


@pytest.mark.parametrize("cost", [MACS, PARAMETERS, TIME])
def test_points_and_intervals_are_the_summarys_numbers(crowd, cost):
    frame = crowd(3, ["detection"])
    (axes,) = drawn(frame, cost).axes
    rows = groups(frame, "none")[0].rows
    assert sorted(markers(axes)) == sorted(zip(rows[cost.column], rows["mean"], strict=True))
    ends = np.array(bars_of(axes))  # (n, low and high, x and y)
    rows = rows.sort_values([cost.column, "mean"])
    reach = rows["mechanism"].map(halves(frame))
    assert ends[:, 0, 0] == pytest.approx(rows[cost.column].to_numpy())
    assert ends[:, 0, 1] == pytest.approx((rows["mean"] - reach).to_numpy())
    assert ends[:, 1, 1] == pytest.approx((rows["mean"] + reach).to_numpy())
    low, high = axes.get_ylim()
    assert low < ends[..., 1].min() <= ends[..., 1].max() < high


def test_small_dots_are_the_single_runs(crowd):
    frame = crowd(3, ["detection"])
    (axes,) = drawn(frame).axes
    dots = [line.get_xydata() for line in axes.lines if line.get_gid() == "seeds"]
    expected = frame[["mechanism_macs", "value"]].to_numpy()
    assert sorted(map(tuple, np.concatenate(dots))) == sorted(map(tuple, expected))
    low, high = axes.get_ylim()
    assert low < frame["value"].min() <= frame["value"].max() < high


def test_two_seeds_that_agree_by_luck_get_no_short_bar(run, frame_of):
    values = {"none": (0.30, 0.3001), "0010": (0.33, 0.36), "0110": (0.34, 0.33)}
    frame = frame_of(*(run(w, s, v) for w, own in values.items() for s, v in enumerate(own)))
    (group,) = groups(frame, "none")
    pooled = stats.t.ppf(0.975, 2) * group.model.sd / math.sqrt(2)
    assert min(group.reach.values()) == pytest.approx(pooled)
    assert group.rows.set_index("mechanism").loc["none", "half_width"] < pooled / 10


def test_points_stand_at_mean_and_cost_with_the_colour_of_the_mechanism(five):
    (axes,) = drawn(five).axes
    points = markers(axes)
    assert sorted(points) == [(macs, pytest.approx(value + 0.01)) for _, value, macs in FIVE]
    colours = {x: line.get_color() for (x, _), line in points.items()}
    assert (colours[0.0], colours[5e6]) == (COLORS["none"], COLORS["0110"])
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [float(line.get_ydata()[0]) for line in dashed] == [pytest.approx(0.31)]
    # All seeds differ by the same 0.02, the luck of a seed: nothing is left for the bars.
    ends = sorted(float(y) for bar in bars_of(axes) for y in bar[:, 1])
    assert ends == pytest.approx(sorted(2 * [value + 0.01 for _, value, _ in FIVE]))


def fronts(axes):
    return [line for line in axes.lines if line.get_gid() == "front"]


def test_the_front_runs_through_the_mechanisms_that_are_not_dominated(five):
    image = drawn(five)
    (line,) = fronts(image.axes[0])
    rows = groups(five, "none")[0].rows.set_index("mechanism").loc[["none", "0010", "0110"]]
    assert list(line.get_xdata()) == list(rows["mechanism_macs"])
    assert list(line.get_ydata()) == list(rows["mean"])
    assert line.get_drawstyle() == "steps-post"
    assert "Pareto front" in notes(image)


@pytest.mark.parametrize("cost", [MACS, TIME])
def test_one_seed_a_time_or_one_mechanism_has_no_front(five, cost):
    some = five[five["seed"] == 0] if cost == MACS else five
    for frame in (some, five[five["mechanism"] == "0110"]):
        image = drawn(frame, cost)
        assert fronts(image.axes[0]) == []
        assert "Pareto" not in image.get_label()


def test_a_mechanism_without_an_interval_is_not_on_the_front(five):
    frame = five[(five["seed"] == 0) | (five["mechanism"] != "0110")]
    (line,) = fronts(drawn(frame).axes[0])
    assert list(line.get_xdata()) == [0.0, 1e6, 9e6]


def test_points_that_lie_on_each_other_share_a_label(run, frame_of):
    at = {"0010": (0.34, 1.00e6), "0011": (0.3401, 1.01e6), "1111": (0.38, 9e6)}
    frame = frame_of(*(run(w, 0, v, mechanism_macs=macs) for w, (v, macs) in at.items()))
    (axes,) = drawn(frame).axes
    assert sorted(named(axes)) == ["0010, 0011", "1111"]


@pytest.mark.parametrize("cost", [MACS, PARAMETERS, TIME])
def test_one_run_stands_in_the_middle_and_costs_far_from_zero_begin_there(run, frame_of, cost):
    (axes,) = drawn(frame_of(run("0110", 0, 0.4, mechanism_macs=4e6)), cost).axes
    (point,) = (axes.transLimits.transform(at) for at in markers(axes))
    assert point == pytest.approx((0.5, 0.5))
    near = frame_of(*(run(w, 0, 0.4, mechanism_macs=m) for w, m in (("0010", 6e6), ("1111", 8e6))))
    assert drawn(near).axes[0].get_xlim()[0] > 5e6


def arrowheads(axes):
    return [line for line in axes.lines if line.get_marker() in (CARETDOWN, CARETUP)]


@pytest.mark.parametrize(
    ("failed", "left_out"),
    [(0.02, ["0101"]), (0.28, []), (0.9, [])],  # far worse; a bit worse; better is never far out
)
def test_a_mechanism_that_learned_nothing_squeezes_no_other(five, run, frame_of, failed, left_out):
    lost = [run("0101", seed, failed, mechanism_macs=7e6, seconds=97) for seed in (0, 1)]
    image = drawn(frame_of(*five.to_dict("records"), *lost))
    (axes,) = image.axes
    assert [line.get_marker() for line in arrowheads(axes)] == [CARETDOWN] * len(left_out)
    assert (axes.get_ylim()[0] > failed) == bool(left_out)
    assert "0101" in named(axes)
    told = "At the edge, their means being far worse than the others: 0101 2.00 (conv4.conv5)."
    assert (told in notes(image)) == bool(left_out)


def test_where_lower_is_better_an_arrowhead_points_up(five, run, frame_of):
    rows = five.assign(metric="perplexity", task="translation", value=10 * five["value"])
    lost = run("0101", 0, 90.0, mechanism_macs=7e6, metric="perplexity", task="translation")
    (axes,) = drawn(frame_of(*rows.to_dict("records"), lost)).axes
    (arrow,) = arrowheads(axes)
    assert arrow.get_marker() == CARETUP
    assert axes.get_ylim()[1] < 90


def test_seeds_that_fit_are_drawn_and_the_baseline_never_leaves_the_axis(five, run, frame_of):
    lost = [run("0101", seed, value, mechanism_macs=7e6) for seed, value in ((0, 0.02), (1, 0.36))]
    frame = frame_of(*five.to_dict("records"), *lost)
    (axes,) = drawn(frame).axes
    assert len(arrowheads(axes)) == 1
    seeds = [line.get_ydata() for line in axes.lines if line.get_gid() == "seeds"]
    assert [0.02, 0.36] in [list(values) for values in seeds]
    (axes,) = drawn(frame, baseline="0101").axes
    assert not arrowheads(axes)
    assert axes.get_ylim()[0] < 0.02


def test_the_baseline_is_dashed_and_named_and_may_be_absent(five):
    for baseline, means in (("0110", [0.37]), ("dynamic", []), (None, [])):
        image = drawn(five, baseline=baseline)
        dashed = [line for line in image.axes[0].lines if line.get_linestyle() == "--"]
        assert [float(line.get_ydata()[0]) for line in dashed] == pytest.approx(means)
        assert ("Dashed: mean of 0110." in notes(image)) == (baseline == "0110")
        assert ("Dashed" in notes(image)) == bool(means)


def test_one_seed_has_no_error_bars_and_the_footnote_says_what_that_means(crowd):
    image = drawn(crowd(1, ["detection"]))
    assert len(image.axes[0].collections) == 0
    assert "cannot be told from noise" in notes(image)
    assert "trees: 60 aerial images" in notes(image)


def test_seeds_that_some_mechanisms_lack_are_said(five):
    image = drawn(five[(five["seed"] == 0) | five["mechanism"].isin(["0110", "1111"])])
    assert "Large signs: means over 2 seeds; small dots: the seeds." in notes(image)
    assert "is left out; no bar: one seed." in notes(image)
    assert len(image.axes[0].collections) == 2
    alone = drawn(five[(five["seed"] == 0) | (five["mechanism"] == "0110")])
    assert "No bars: without a second mechanism" in notes(alone)
    assert len(alone.axes[0].collections) == 0


def test_means_over_other_seeds_than_the_baselines_are_named(five):
    said = "Over other seeds than the baseline, so see the table's Δ: "
    assert said not in notes(drawn(five, baseline="none"))
    last = five["seed"] == five["seed"].max()
    fewer = five[~(last & (five["mechanism"] == "1111"))]
    assert f"{said}1111 (conv4.conv5)." in notes(drawn(fewer, baseline="none"))
    moved = five.assign(seed=five["seed"] + 7 * (five["mechanism"] == "0110"))
    assert f"{said}0110 (conv4.conv5)." in notes(drawn(moved, baseline="none"))
    assert said not in notes(drawn(fewer, baseline=None))


def test_title_and_axes_name_task_data_metric_sites_and_unit(five):
    image = drawn(five)
    (axes,) = image.axes
    assert image.get_suptitle() == "detection · trees · mAP"
    assert axes.get_title(loc="left") == "conv4.conv5"
    assert axes.get_ylabel() == "mAP points"
    assert axes.get_xlabel() == "MACs of the mechanism (M)"


@pytest.mark.parametrize(
    ("cheap", "dear", "scale", "label"),
    [
        (2_000_000, 20_000_000, "linear", "MACs of the mechanism (M)"),
        (2_000_000, 2_000_000_000, "symlog", "MACs of the mechanism (G), logarithmic from 0.002"),
    ],
)
def test_costs_far_apart_get_a_logarithmic_axis_with_zero_on_it(
    run, frame_of, cheap, dear, scale, label
):
    costs = {"none": 0, "0010": cheap, "1111": dear}
    frame = frame_of(*(run(word, 0, 0.4, mechanism_macs=macs) for word, macs in costs.items()))
    (axes,) = drawn(frame).axes
    assert axes.get_xscale() == scale
    assert axes.get_xlabel() == label
    places = axes.transAxes.inverted().transform(
        axes.transData.transform([(0, 0.4), (cheap, 0.4), (dear, 0.4)])
    )[:, 0]
    assert 0 < places[0] < places[1] - 0.05 < places[2] < 1
    texts = [text.get_text() for text in axes.get_xticklabels()]
    assert "0" in texts
    assert not any("10^" in text for text in texts)


@pytest.mark.parametrize(
    ("seconds", "unit", "ticks"),
    [((70, 95), "s", 1), ((600, 2400), "min", 60), ((9_000, 30_000), "h", 3600)],
)
def test_time_has_round_ticks_in_a_unit_that_fits(run, frame_of, seconds, unit, ticks):
    frame = frame_of(
        *(run(w, 0, 0.4, seconds=float(s)) for w, s in zip(("none", "1111"), seconds, strict=True))
    )
    image = drawn(frame, TIME)
    (axes,) = image.axes
    assert axes.get_xlabel() == f"time of a run ({unit})"
    low, high = axes.get_xlim()
    inside = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert len(inside) >= 3
    steps = np.diff(inside) / ticks
    assert steps == pytest.approx(np.full(len(steps), steps[0]))
    assert float(f"{steps[0]:.2g}") == pytest.approx(steps[0])
    written = axes.xaxis.get_major_formatter()
    assert [float(written(tick)) * ticks for tick in inside] == pytest.approx(inside)
    assert "depends on the machine" in notes(image)


def test_a_mechanism_without_macs_is_named_but_not_drawn(five):
    five.loc[five["mechanism"] == "1111", "mechanism_macs"] = math.nan
    image = drawn(five)
    assert len(markers(image.axes[0])) == 4
    assert "Not drawn, for its MACs of the mechanism is unknown: 1111." in notes(image)


@pytest.mark.parametrize("words", [["1111"], ["none"], ["none", "0010", "1111"]])
def test_equal_values_of_one_or_more_mechanisms_are_no_error(run, frame_of, words):
    for cost, value in itertools.product((MACS, TIME), (0.0, 0.4)):
        frame = frame_of(
            *(
                run(word, s, value, mechanism_macs=0.0, seconds=0.0)
                for word in words
                for s in (0, 1)
            )
        )
        (axes,) = drawn(frame, cost).axes
        rows = panel.drawn(groups(frame, "none")[0], cost)
        assert front(rows[cost.column], rows["mean"]) == list(range(len(words)))
        assert axes.get_ylim()[0] < value < axes.get_ylim()[1]


def test_panels_are_by_sites_and_files_by_task_data_and_recipe(run, frame_of, tmp_path):
    frame = frame_of(
        run("0010", 0, 0.4),
        run("0010", 0, 0.4, sites="conv5"),
        run("0010", 0, 0.4, sites="conv5", recipe='{"epochs": 16}'),
        run("0010", 0, 20.0, task="translation", sites="self", metric="BLEU"),
        run("0010", 0, math.nan, task="segmentation", state="failed"),
    )
    names = [path.name for path in draw(groups(frame), tmp_path / "out")]
    assert len(names) == len(set(names)) == 12
    assert sum(name.startswith("detection-trees-") for name in names) == 8
    assert names[-4:] == [f"translation-trees.{kind}" for kind in ("png", "svg", "pdf", "txt")]
    short = frame[(frame["task"] == "detection") & ~frame["recipe"].str.contains("16")]
    assert [axes.get_title(loc="left") for axes in drawn(short).axes] == ["conv4.conv5", "conv5"]
