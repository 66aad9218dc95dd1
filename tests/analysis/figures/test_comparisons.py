"""Deformable convolution and dynamic convolution against E2: rows, tables and figures agree."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from analysis.paper import deformable, ranges
from analysis.stats.group import groups
from analysis.stats.means import half_width


def only(frame):
    (group,) = groups(frame, "none")
    return group


def difference(frame, mechanism, reference):
    """Difference and half its 95 % interval, by the larger error of statsmodels' regression."""
    # The only run of a mechanism has no residual: it tells nothing of others.
    told = frame.groupby("mechanism")["seed"].transform("size") > 1
    frame = frame[told | frame["mechanism"].isin([mechanism, reference])]
    fit = smf.ols(f"value ~ C(mechanism, Treatment('{reference}')) + C(seed)", frame).fit()
    name = f"C(mechanism, Treatment('{reference}'))[T.{mechanism}]"
    own = pd.Series(fit.get_robustcov_results("HC3").bse, fit.params.index)
    error = max(fit.bse[name], own[name])
    return fit.params[name], stats.t.ppf(0.975, fit.df_resid) * error


def notes(image):
    return " ".join(text.get_text() for text in image.texts).replace("\n", " ")


@pytest.fixture
def runs_of(run, frame_of):
    """Return a function that makes runs: {mechanism: (MACs, value of seed 0, of seed 1, ...)}."""

    def make(**mechanisms):
        return frame_of(
            *(
                run(word.replace("_", "+").replace("k", "@"), seed, value, mechanism_macs=macs)
                for word, (macs, *values) in mechanisms.items()
                for seed, value in enumerate(values)
            )
        )

    return make


@pytest.fixture
def added(runs_of):
    return runs_of(
        **{
            "none": (0.0, 0.30, 0.31),
            "none_deformable": (1e6, 0.36, 0.39),
            "0100": (8e6, 0.35, 0.36),
            "0010": (2e6, 0.33, 0.34),
            "0010_deformable": (3e6, 0.37, 0.38),
            "1111": (9e6, 0.37, 0.40),
            "1111_deformable": (9.5e6, 0.38, 0.41),
            "1001": (7e6, 0.36, 0.36),
            "dynamic_deformable": (7e6, 0.36, 0.36),
        }
    )


def test_a_family_has_the_same_other_terms(added):
    table = deformable.rows(only(added))
    assert table[["others", "added", "mechanism"]].to_numpy().tolist() == [
        ["none", "neither", "none"],
        ["none", "E2", "0100"],
        ["none", "deformable", "none+deformable"],
        ["0010", "neither", "0010"],
        ["0010", "deformable", "0010+deformable"],
        ["1011", "E2", "1111"],
        ["1011", "both", "1111+deformable"],
    ]


def test_further_families_are_shown_if_deformable_convolution_was_added_to_them(runs_of):
    frame = runs_of(**{"0001": (1e6, 0.3), "0001_deformable": (2e6, 0.3), "0000": (1e6, 0.3)})
    assert list(deformable.rows(only(frame))["mechanism"]) == ["0001", "0001+deformable"]
    frame = runs_of(**{"0000": (1e6, 0.3), "0000_deformable": (2e6, 0.3), "0100": (1e6, 0.3)})
    assert list(deformable.rows(only(frame))["added"]) == ["E2", "neither", "E2", "deformable"]


def test_differences_are_to_e2_by_the_regression_on_all_runs(added):
    # A mechanism is adjusted for a seed that it lacks; one seed alone has no interval.
    added = added[(added["mechanism"] != "0100") | (added["seed"] == 0)]
    table = deformable.rows(only(added)).set_index("mechanism")
    expected, _ = difference(added, "none+deformable", "0100")
    assert table.loc["none+deformable", "difference"] == pytest.approx(expected)
    assert math.isnan(table.loc["none+deformable", "difference_half_width"])
    shown = table.loc["1111+deformable", ["difference", "difference_half_width"]].tolist()
    assert shown == pytest.approx(difference(added, "1111+deformable", "1111"))
    assert shown[0] == pytest.approx(0.01)
    assert table.loc[["0100", "0010", "0010+deformable"], "difference"].isna().all()


def test_points_and_lines_of_deformable_convolution_are_the_rows(added):
    group = only(added)
    table = deformable.rows(group)
    (axes,) = deformable.figure([(group, table)], "a title").axes
    points = {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.lines
        if line.get_marker() in ("o", "s", "^", "D")
    }
    assert points == set(zip(table["mechanism_macs"], table["mean"], strict=True))
    at = table.set_index("mechanism")[["mechanism_macs", "mean"]]
    lines = {
        (line.get_linestyle(), *map(tuple, line.get_xydata()))
        for line in axes.lines
        if line.get_color() in ("#0072B2", "#D55E00")
        and len(line.get_xdata()) == 2
        and line.get_gid() != "seeds"
    }
    leads = [
        ("-", "none", "0100"),
        ("--", "none", "none+deformable"),
        ("--", "0010", "0010+deformable"),
        ("--", "1111", "1111+deformable"),
    ]
    assert lines == {(style, tuple(at.loc[a]), tuple(at.loc[b])) for style, a, b in leads}
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["E2 added", "deformable added"]


def test_the_table_beside_the_figure_shows_the_rows(added, tmp_path):
    *figures, table = deformable.draw(groups(added, "none"), tmp_path)
    assert [path.name for path in figures] == [
        f"detection-trees-deformable.{kind}" for kind in ("png", "svg", "pdf", "txt")
    ]
    text = table.read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    line = next(row for row in cells if row[2:3] == ["none+deformable"])
    half = f"{100 * half_width([0.36, 0.39]):.2f}"
    delta = f"{difference(added, 'none+deformable', '0100')[1] * 100:.2f}"
    assert line == ["none", "deformable", "none+deformable", "2", "37.50", half, "+2.00", delta,
                    "0.00100"]  # fmt: skip
    assert "One seed" not in text


RANGES = {
    "dynamic": (2e6, 20.0, 22.0),
    "dynamick3": (6e6, 21.0, 23.0),
    "0100k1": (3e6, 22.0, 23.0),
    "0100k3": (5e6, 24.0, 24.0),
    "0100": (40e6, 25.0, 27.0),
    "0110k3": (6e6, 25.0, 25.0),
    "dynamick3_deformable": (7e6, 26.0, 26.0),
    "none": (0.0, 18.0),
}


def test_ranges_pair_dynamic_convolution_with_e2_over_the_same_keys(runs_of):
    frame = runs_of(**RANGES)
    table = ranges.rows(only(frame))
    assert table[["range", "kind", "mechanism"]].to_numpy().tolist() == [
        [1, "E2", "0100@1"],
        [1, "dynamic", "dynamic"],
        [3, "E2", "0100@3"],
        [3, "dynamic", "dynamic@3"],
        [math.inf, "E2", "0100"],
    ]
    assert table["difference"].tolist() == pytest.approx(
        [math.nan, -1.5, math.nan, -2.0, math.nan], nan_ok=True
    )
    _, half = difference(frame, "dynamic", "0100@1")
    assert table.loc[1, "difference_half_width"] == pytest.approx(half)


@pytest.mark.parametrize("kept", ["dynamic", "0100"])
def test_one_kind_alone_is_no_comparison_of_ranges(runs_of, kept, tmp_path):
    frame = runs_of(**{word: row for word, row in RANGES.items() if word.startswith(kept)})
    assert ranges.rows(only(frame)).empty
    assert ranges.draw(groups(frame, None), tmp_path) == []
    assert deformable.draw(groups(frame[frame["mechanism"] == "0100"], None), tmp_path) == []


def test_series_by_range_are_the_rows_and_their_intervals(runs_of):
    group = only(runs_of(**RANGES))
    table = ranges.rows(group)
    image = ranges.figure([(group, table)], "a title")
    left, right = image.axes
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["1", "3", "unlimited"]
    assert right.get_yscale() == "linear"
    assert right.get_ylabel() == "MACs of the mechanism (M)"
    bars = {bar[0].get_gid(): bar for bar in left.containers}
    for kind, own in table.groupby("kind"):
        line, _, (stems,) = bars[kind]
        assert [round(x) for x in line.get_xdata()] == [0, 1, 2][: len(own)]
        assert list(line.get_ydata()) == list(own["mean"])
        ends = [(low[1], high[1]) for low, high in stems.get_segments()]
        reach = own["mechanism"].map(group.reach)
        expected = [(m - h, m + h) for m, h in zip(own["mean"], reach, strict=True)]
        assert [*map(list, ends)] == [pytest.approx(list(pair)) for pair in expected]
        (cost,) = (bar for bar in right.containers if bar[0].get_gid() == kind)
        assert list(cost[0].get_ydata()) == list(own["mechanism_macs"] / 1e6)
    names = [text.get_text() for text in left.texts]
    assert names == ["E2 (0100)", "dynamic"]
    assert left.lines[0].get_marker() != left.lines[1].get_marker()
    assert "dynamic without a range has 3 taps" in notes(image)


def test_one_seed_is_said_in_figure_and_table(runs_of, tmp_path):
    frame = runs_of(**{word: row[:2] for word, row in RANGES.items()})
    group = only(frame)
    image = ranges.figure([(group, ranges.rows(group))], "a title")
    assert "One seed" in notes(image)
    *_, table = ranges.draw([group], tmp_path)
    assert "One seed" in table.read_text(encoding="utf-8")


def test_costs_far_apart_are_logarithmic(runs_of):
    group = only(runs_of(**RANGES | {"0100": (800e6, 25.0, 27.0)}))
    _, right = ranges.figure([(group, ranges.rows(group))], "a title").axes
    assert right.get_yscale() == "log"
    assert right.get_ylabel() == "MACs of the mechanism (G), logarithmic"
