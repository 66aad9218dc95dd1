"""The panels: which runs each shows, and what is said of the others."""

from __future__ import annotations

import math

import pytest

from analysis.paper.overview import choose, draw, figure
from analysis.stats.group import groups


def chosen(frame, baseline=None):
    return choose(groups(frame, baseline))


def notes(image):
    return " ".join(text.get_text() for text in image.texts).replace("\n", " ")


def translation(run, word, sites, value=20.0, seed=0):
    return run(word, seed, value, task="translation", sites=sites, metric="BLEU")


def test_four_panels_show_the_summaries_means(crowd):
    frame = crowd()
    summaries = groups(frame, "none")
    image = figure(choose(summaries))
    assert [axes.get_title(loc="left") for axes in image.axes] == [
        "(a) Detection\ntrees · conv4.conv5",
        "(b) Segmentation\nlandcover · conv4.conv5.head",
        "(c) Translation, self-attention\nsoftware · encoder",
        "(d) Translation, encoder-decoder attention\nsoftware · cross",
    ]
    by_sites = {summary.sites: summary.rows for summary in summaries}
    for axes, sites in zip(
        image.axes, ("conv4.conv5", "conv4.conv5.head", "encoder", "cross"), strict=True
    ):
        drawn = {
            (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
            for line in axes.lines
            if line.get_marker() in ("o", "s", "^", "D")
        }
        rows = by_sites[sites]
        assert drawn == set(zip(rows["mechanism_macs"], rows["mean"], strict=True))
        dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert len(dashed) == (sites != "cross")  # nothing is left out of cross-attention


def test_a_panel_without_runs_is_left_out_and_the_others_keep_their_letters(run, frame_of):
    image = figure(chosen(frame_of(run("0010", 0, 0.4), translation(run, "1111", "cross"))))
    assert [axes.get_title(loc="left") for axes in image.axes] == [
        "(a) Detection\ntrees · conv4.conv5",
        "(d) Translation, encoder-decoder attention\ntrees · cross",
    ]
    assert [[text.get_text() for text in axes.texts] for axes in image.axes] == [["0010"], ["1111"]]


def test_none_is_dashed_whatever_the_grids_baseline_is(run, frame_of):
    rows = [
        translation(run, word, "encoder", value) for word, value in (("none", 18), ("1111", 20))
    ]
    image = figure(chosen(frame_of(*rows), "1111"))
    dashed = [line for line in image.axes[0].lines if line.get_linestyle() == "--"]
    assert [float(line.get_ydata()[0]) for line in dashed] == [18]


def test_the_summary_with_most_runs_is_chosen_and_the_others_are_counted(run, frame_of):
    rows = [
        translation(run, "1111", "encoder"),
        *(translation(run, word, "self") for word in ("0010", "1111")),
        translation(run, "1111", "decoder"),
        run("1111", 0, 0.4),
        run("1111", 0, 0.4, recipe='{"epochs": 12}'),
        run("1111", 1, 0.4, recipe='{"epochs": 12}'),
    ]
    choices = chosen(frame_of(*rows))
    assert [choice.others for choice in choices] == [1, 0, 2, 0]
    assert choices[2].group.sites == "self"
    assert choices[0].group.variant == "epochs=12"
    said = notes(figure(choices))
    assert "Recipe of (a): epochs=12." in said
    assert "left out: 1 of (a), 2 of (c)." in said


def test_sites_of_both_kinds_fit_neither_panel_of_translation(run, frame_of):
    choices = chosen(frame_of(translation(run, "1111", "self.cross")))
    assert [choice.group for choice in choices] == [None] * 4


def test_a_task_that_the_paper_has_not_gets_the_next_letter(run, frame_of, tmp_path):
    rows = [
        run("1111", 0, 0.4),
        *(run(word, 0, 0.9, task="classification", metric="accuracy") for word in ("1111", "none")),
        *(run("1111", 0, 0.9, task="a_guest", metric="score", sites=at) for at in ("x", "y")),
    ]
    image = figure(chosen(frame_of(*rows)))
    assert [axes.get_title(loc="left") for axes in image.axes] == [
        "(a) Detection\ntrees · conv4.conv5",
        "(e) A guest\ntrees · x",
        "(f) Classification\ntrees · conv4.conv5",
    ]
    assert image.axes[2].get_ylabel() == "accuracy points"
    assert "left out: 1 of (e)." in notes(image)
    assert draw(groups(frame_of(*rows)), tmp_path)


@pytest.mark.parametrize("change", [{"state": "failed"}, {"mechanism_macs": math.nan}])
def test_without_anything_to_show_nothing_is_written(run, frame_of, tmp_path, change):
    frame = frame_of(run("1111", 0, 0.4, **change))
    assert draw(groups(frame), tmp_path) == []
    assert list(tmp_path.iterdir()) == []
