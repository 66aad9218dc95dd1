"""The matrix of controls: what stands where, in which colour, and what is outlined."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb

from analysis.controls.matrix import OUTLINES, draw, figure
from analysis.controls.rows import ANSWERS, LOOKS, pages
from analysis.figures.drawing.form import Form, shaped
from analysis.figures.drawing.style import STYLE
from analysis.stats.group import groups

ORDER = ["twin", "pointer", "salient", "offset", "ally"]
NEEDED, REPLACED = OUTLINES


def drawn(frame, view=ANSWERS):
    """The figure of runs in the order that `draw_all` gives them."""
    frame = frame.sort_values("id", ignore_index=True)
    ((_, heading, controls),) = pages(groups(frame, "none"))
    with mpl.rc_context(STYLE):
        image = figure([control.row(view) for control in controls], view, heading)
        image.draw_without_rendering()
    return image


def cells(image):
    """Number, colour and middle of each cell, by scene and mechanism."""
    axes = image.axes[0]
    texts = {text.get_gid(): text for text in axes.texts if text.get_gid()}
    found = {}
    for patch in axes.patches:
        scene, _, word = str(patch.get_gid()).partition("/")
        if word in OUTLINES:
            continue
        at = patch.get_bbox()
        middle = ((at.x0 + at.x1) / 2, (at.y0 + at.y1) / 2)
        number = float(texts[f"{scene}/{word}/mean"].get_text())
        found[scene, word] = (number, patch.get_facecolor(), middle)
    return found


def outlined(image, kind):
    """Which cells have such an outline around them."""
    places = {key: middle for key, (_, _, middle) in cells(image).items()}
    boxes = [p.get_bbox() for p in image.axes[0].patches if str(p.get_gid()).endswith(kind)]
    assert boxes
    return {key for key, middle in places.items() if any(box.contains(*middle) for box in boxes)}


def lightness(colour):
    return float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)))


def test_rows_are_in_order_of_need_and_columns_in_that_of_the_grid(trained, words):
    image = drawn(trained())
    found = cells(image)
    assert set(found) == {(scene, word) for scene in ORDER for word in words}
    across = sorted({word: x for (_, word), (_, _, (x, _)) in found.items()}.items(), key=_second)
    down = sorted({scene: y for (scene, _), (_, _, (_, y)) in found.items()}.items(), key=_second)
    assert [word for word, _ in across] == words
    assert [scene for scene, _ in down] == ORDER
    labels = [label.get_text() for label in image.axes[0].get_yticklabels()]
    needs = ["E1", "E2", "E3", "E4", "E1 and E2"]
    assert labels == [f"{need}\n{scene}" for need, scene in zip(needs, ORDER, strict=True)]
    assert image.axes[0].yaxis_inverted()
    tops = [label.get_text().replace("\n", "") for label in image.axes[0].get_xticklabels()]
    assert tops == words
    gaps = np.diff([x for _, x in across])
    wide = [words[at + 1] for at in range(len(gaps)) if gaps[at] > 1.2]
    assert wide == ["0000", "none+deformable"]  # between the kinds of mechanisms


def _second(pair):
    return pair[1]


def test_a_cell_has_the_mean_of_its_seeds(trained, words):
    values = {(scene, word): 0.3 + 0.004 * at for at, word in enumerate(words) for scene in ORDER}
    values["pointer", "1010"] = 0.77
    frame = trained(values=values, sd=0.02)
    found = cells(drawn(frame))
    scene_of = frame["recipe"].str.extract(r'"scene": "(\w+)"')[0].fillna("twin")
    means = frame.groupby([scene_of, "mechanism"])["value"].mean()
    assert len(means) == len(found)
    for key, (number, _, _) in found.items():
        assert number == pytest.approx(100 * means[key], abs=0.5)


def test_what_can_answer_is_outlined_and_nothing_else(trained, words, solved):
    image = drawn(trained(values={("twin", "0111"): 0.9}))  # which cannot, whatever it reaches
    needed, replaced = outlined(image, NEEDED), outlined(image, REPLACED)
    able = {(scene, word) for scene in ORDER for word in words if solved(scene, word)}
    assert needed | replaced == able
    assert not needed & replaced
    place = {"salient": 2, "offset": 3, "ally": 1}
    assert replaced == {key for key in able if key[0] in place and key[1][place[key[0]]] == "0"}


def test_the_two_outlines_differ_without_colour(trained):
    image = drawn(trained())
    found = [p for p in image.axes[0].patches if str(p.get_gid()).endswith((NEEDED, REPLACED))]
    strokes = {(str(p.get_gid()).partition("/")[2], p.get_linestyle()) for p in found}
    assert len(strokes) == 2
    legend = [text.get_text() for text in image.axes[1].get_legend().get_texts()]
    assert legend == [how["label"] for how in OUTLINES.values()]


def test_colour_goes_from_what_none_reaches_to_all_and_gets_darker(trained):
    rising = {("twin", word): 0.2 + 0.1 * at for at, word in enumerate(("none", "0000", "0001"))}
    rising |= {("twin", "0010"): 0.6, ("twin", "0011"): 1.0, ("twin", "0100"): 0.1}
    rising |= {("ally", "none"): 0.6, ("ally", "1100"): 1.0}
    found = cells(drawn(trained("twin", "ally", values=rising, sd=0.0)))
    tones = {key: colour for key, (_, colour, _) in found.items()}
    order = ["none", "0000", "0001", "0010", "0011"]
    light = [lightness(tones["twin", word]) for word in order]
    assert light == sorted(light, reverse=True)
    assert len({*light}) == 5
    # The same share of the way is the same colour, wherever chance is; below chance is chance.
    assert tones["ally", "none"] == tones["twin", "none"] == tones["twin", "0100"]
    assert tones["ally", "1100"] == tones["twin", "0011"]
    hues = {round(float(rgb_to_hsv(to_rgb(tone))[0]), 1) for tone in tones.values()}
    assert hues <= {0.5, 0.6}  # one hue: nothing is told by red against green


def test_chance_is_said_as_none_reaches_it_and_as_guessing_does(trained):
    values = {("twin", "none"): 0.27, ("pointer", "none"): 0.13}
    frame = trained("twin", "pointer", values=values, sd=0.0)
    label = drawn(frame).get_label()
    assert "twin 27.00 (guessing: 25.00); pointer 13.00 (guessing: 10.00)" in label
    rest = frame[(frame["mechanism"] != "none") | (frame["recipe"].str.contains("pointer"))]
    assert "twin 25.00, by guessing; pointer 13.00" in drawn(rest).get_label()


def test_seeds_are_drawn_where_they_differ(trained):
    frame = trained("twin", sd=0.0)
    frame.loc[(frame["mechanism"] == "1101") & (frame["seed"] == 1), "value"] = 0.4
    frame.loc[(frame["mechanism"] == "1110") & (frame["seed"] == 1), "value"] = 0.885
    axes = drawn(frame).axes[0]
    dots = {str(line.get_gid()): line for line in axes.lines if line.get_gid()}
    assert [*dots] == ["twin/1101/seeds"]
    x = np.asarray(dots["twin/1101/seeds"].get_xdata())
    middle = cells(drawn(frame))["twin", "1101"][2][0]
    share = (x - (middle - 0.34)) / 0.68
    assert sorted(share) == pytest.approx([0.25 / 0.85, 0.75 / 0.85, 0.75 / 0.85])


def test_in_a_narrow_figure_mechanisms_are_the_rows_and_nothing_leaves_it(trained, words):
    images = {}
    for width, plain in ((3.25, False), (3.25, True), (7.0, True), (None, False)):
        with shaped(Form(width, plain)):
            images[width] = image = drawn(trained())
        box, size = image.get_tightbbox(), image.get_size_inches()
        assert 0 <= box.x0 <= box.x1 <= size[0]
        assert 0 <= box.y0 <= box.y1 <= size[1]
        rows = [label.get_text() for label in image.axes[0].get_yticklabels()]
        assert rows == words if width == 3.25 else len(rows) == len(ORDER)
    assert outlined(images[3.25], NEEDED) == outlined(images[None], NEEDED)
    found = cells(images[3.25])
    assert found["twin", "none"][2][1] < found["twin", "1111"][2][1]
    assert found["twin", "none"][2][0] < found["ally", "none"][2][0]


def test_the_highest_weight_is_a_figure_of_its_own_for_what_records_it(trained, words, tmp_path):
    frame = trained("twin")
    found = cells(drawn(frame, LOOKS))
    assert {word for _, word in found} == {w for w in words if set(w) <= {"0", "1"}}
    assert found["twin", "1000"][0] == 45
    assert found["twin", "0001"][0] == 8
    names = [path.name for path in draw(groups(frame, "none"), tmp_path)]
    stems = ["controls-control-scenes-matrix", "controls-control-scenes-pointing"]
    assert names == [f"{stem}.{kind}" for stem in stems for kind in ("png", "svg", "pdf", "txt")]
    without = frame.drop(columns="metrics.pointing")
    assert len(draw(groups(without, "none"), tmp_path)) == 4


def test_other_recipes_have_figures_of_their_own_and_other_tasks_none(trained, tmp_path):
    both = trained("twin", "ally")
    longer = both.assign(id="longer-" + both["id"])
    longer["recipe"] = both["recipe"].str.replace("{", '{"epochs": 20, ')
    found = [*pages(groups(pd.concat([both, longer], ignore_index=True), "none"))]
    assert [[c.asked for c in controls] for _, _, controls in found] == [["twin", "ally"]] * 2
    headings = ["controls · control-scenes · epochs=10", "controls · control-scenes · epochs=20"]
    assert sorted(heading for _, heading, _ in found) == headings
    other = both.assign(task="translation", metric="BLEU")
    assert draw(groups(other, "none"), tmp_path) == []
    gone = both.assign(recipe=both["recipe"].str.replace("{", '{"a_field_that_went": 1, '))
    assert draw(groups(gone, "none"), tmp_path)  # what decides on a control is there
    unknown = both.assign(recipe='{"data": "control-scenes", "scene": "riddle"}')
    assert draw(groups(unknown[unknown.index < 40], "none"), tmp_path) == []
