"""Figures: readable in a crowd, true to the numbers, and the same bytes every time."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis.collect import collect
from analysis.figures.accuracy_cost import figure, plot
from analysis.figures.style import COLORS, STYLE
from analysis.summary import summarise
from study.folder import RunFolder

TERMS = ["".join(bits) for bits in itertools.product("01", repeat=4)]
CROWD = ["none", *TERMS, "dynamic", "none+deformable", "0010+deformable", "1111+deformable"]


@pytest.fixture
def crowd(make_run):
    """21 mechanisms, most of them within a twentieth of the plot, with three seeds each."""
    chance = np.random.default_rng(0)
    folders = []
    for index, mechanism in enumerate(CROWD):
        macs = 0 if mechanism == "none" else 20_000_000 + 50_000 * index
        for seed in range(3):
            value = round(0.4 + 0.001 * chance.standard_normal(), 6)
            folders.append(make_run(mechanism, seed, value, macs=macs))
    return collect(RunFolder(folder) for folder in folders)


def drawn(frame, baseline="none"):
    with mpl.rc_context(STYLE):
        image = figure(summarise(frame, baseline))
        FigureCanvasAgg(image).draw()
    return image


@pytest.mark.parametrize("seeds", [1, 3])
def test_no_two_labels_overlap_or_cover_a_point_or_leave_the_axes(crowd, seeds):
    (axes,) = drawn(crowd[crowd["seed"] < seeds]).axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(CROWD)
    overlapping = [
        (a.get_text(), b.get_text())
        for (a, i), (b, j) in itertools.combinations(zip(axes.texts, boxes, strict=True), 2)
        if i.overlaps(j)
    ]
    assert overlapping == []
    frame = axes.get_window_extent()
    assert all(frame.contains(*corner) for box in boxes for corner in box.corners())
    points = axes.transData.transform(
        summarise(crowd[crowd["seed"] < seeds])[0].rows[["mechanism_macs", "mean"]].to_numpy()
    )
    assert not any(box.contains(*point) for box in boxes for point in points)


def test_two_renderings_are_the_same_bytes(crowd, tmp_path):
    first = plot(crowd, tmp_path / "a", "none")
    second = plot(crowd, tmp_path / "b", "none")
    assert [path.suffix for path in first] == [".png", ".svg", ".pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert b"<dc:date>" not in first[1].read_bytes()


def markers(axes):
    """The data points that were drawn, by their coordinates."""
    lines = [line for line in axes.lines if line.get_marker() in ("o", "s", "^", "D")]
    return {(float(line.get_xdata()[0]), float(line.get_ydata()[0])): line for line in lines}


def test_points_stand_at_mean_and_cost_with_the_colour_of_the_mechanism(make_run):
    frame = collect(
        RunFolder(make_run(mechanism, seed, value + 0.02 * seed, macs=macs))
        for mechanism, value, macs in [("none", 0.3, 0), ("0110", 0.4, 5_000_000)]
        for seed in (0, 1)
    )
    (axes,) = drawn(frame).axes
    points = markers(axes)
    assert sorted(points) == [(0, pytest.approx(0.31)), (5_000_000, pytest.approx(0.41))]
    assert {line.get_color() for line in points.values()} == {COLORS["none"], COLORS["0110"]}
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [float(line.get_ydata()[0]) for line in dashed] == [pytest.approx(0.31)]
    # Error bars reach to the ends of the interval: 12.706 standard errors of 0.01.
    ends = sorted(float(y) for bar in axes.collections for s in bar.get_segments() for y in s[:, 1])
    assert ends == pytest.approx([0.31 - 0.12706, 0.41 - 0.12706, 0.31 + 0.12706, 0.41 + 0.12706],
                                 abs=1e-5)  # fmt: skip


def test_one_seed_has_no_error_bars_and_the_footnote_says_what_that_means(crowd):
    image = drawn(crowd[crowd["seed"] == 0])
    assert len(image.axes[0].collections) == 0
    notes = " ".join(text.get_text() for text in image.texts).replace("\n", " ")
    assert "cannot be told from noise" in notes
    assert "trees: 60 aerial images" in notes


def test_title_and_axes_name_task_data_metric_sites_and_unit(crowd):
    image = drawn(crowd)
    (axes,) = image.axes
    assert image.get_suptitle() == "detection · trees · bbox_mAP"
    assert axes.get_title(loc="left") == "conv4.conv5"
    assert axes.get_ylabel() == "bbox_mAP"
    assert axes.get_xlabel() == "MACs of the mechanism (M)"


@pytest.mark.parametrize(
    ("cheap", "dear", "scale", "label"),
    [
        (2_000_000, 20_000_000, "linear", "MACs of the mechanism (M)"),
        (2_000_000, 2_000_000_000, "symlog", "MACs of the mechanism (G), logarithmic from 0.002"),
    ],
)
def test_costs_far_apart_get_a_logarithmic_axis_with_zero_on_it(
    make_run, cheap, dear, scale, label
):
    costs = {"none": 0, "0010": cheap, "1111": dear}
    folders = [make_run(mechanism, 0, 0.4, macs=macs) for mechanism, macs in costs.items()]
    (axes,) = drawn(collect(map(RunFolder, folders))).axes
    assert axes.get_xscale() == scale
    assert axes.get_xlabel() == label
    places = axes.transAxes.inverted().transform(
        axes.transData.transform([(0, 0.4), (cheap, 0.4), (dear, 0.4)])
    )[:, 0]
    assert 0 < places[0] < places[1] - 0.05 < places[2] < 1
    texts = [text.get_text() for text in axes.get_xticklabels()]
    assert "0" in texts
    assert not any("10^" in text for text in texts)


def test_panels_are_by_sites_and_files_by_task_data_and_recipe(make_run, tmp_path):
    frame = collect(
        map(
            RunFolder,
            [
                make_run("0010", 0, 0.4),
                make_run("0010", 0, 0.4, sites=("conv5",)),
                make_run("0010", 0, 0.4, sites=("conv5",), recipe={"epochs": 16}),
                make_run("0010", 0, 20.0, task="translation", sites=("self",), metric="BLEU"),
                make_run("0010", 0, None, task="segmentation"),
            ],
        )
    )
    names = [path.name for path in plot(frame, tmp_path / "out", "none")]
    assert len(names) == len(set(names)) == 6
    assert sum(name.startswith("detection-trees-") for name in names) == 4
    assert {"translation-trees.png", "translation-trees.svg"} < set(names)
    image = drawn(frame[(frame["task"] == "detection") & ~frame["recipe"].str.contains("16")])
    assert [axes.get_title(loc="left") for axes in image.axes] == ["conv4.conv5", "conv5"]
