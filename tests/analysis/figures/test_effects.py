"""The figure of effects: what stands where, in which colour, and the same bytes each time."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from worlds import world

from analysis.figures.drawing.style import STYLE
from analysis.figures.effects import GAIN, LOSS, UNSURE, draw, figure
from analysis.stats.effects import TERM_SETS, effects
from analysis.stats.group import groups

MEANS = {word: 20 + 2 * (word[1] == "1") - 1 * (word[3] == "1") for word in TERM_SETS}


def there(seeds=2, **columns):
    rng = np.random.default_rng(1)
    return groups(world(MEANS | {"none": 18}, seeds=seeds, sd=0.2, rng=rng, **columns))


def found(seeds=2):
    return effects(there(seeds))


def panel(effect):
    with mpl.rc_context(STYLE):
        return figure([effect]).axes[0]


def dots(axes):
    """Height and line of each effect, from the top."""
    lines = [line for line in axes.lines if line.get_marker() == "o"]
    return sorted(lines, key=lambda line: -line.get_ydata()[0])


def test_the_module_stands_above_the_terms_and_these_above_their_pairs():
    (effect,) = found()
    axes = panel(effect)
    names = [t.get_text() for t in axes.get_yticklabels()]
    by_height = [name for _, name in sorted(zip(axes.get_yticks(), names, strict=True))][::-1]
    assert by_height[0] == "all term sets - none"
    assert [name[-2:] for name in by_height[1:5]] == ["E1", "E2", "E3", "E4"]
    assert by_height[5:] == ["E1×E2", "E1×E3", "E1×E4", "E2×E3", "E2×E4", "E3×E4"]
    rows = effect.rows.set_index("name")
    order = ["module", *rows.index.drop("module")]
    shown = [line.get_xdata()[0] for line in dots(axes)]
    assert shown == pytest.approx(rows.loc[order, "effect"].tolist())
    assert axes.get_xlabel() == "effect on BLEU"


def test_lines_are_the_intervals_and_colours_say_what_holm_leaves():
    (effect,) = found()
    axes = panel(effect)
    rows = effect.rows.set_index("name")
    tones = dict(zip(["module", *rows.index.drop("module")], dots(axes), strict=True))
    assert to_hex(tones["E2"].get_color()).upper() == GAIN
    assert to_hex(tones["E4"].get_color()).upper() == LOSS
    unsure = [name for name in rows.index if rows.loc[name, "holm"] >= 0.05]
    assert unsure
    for name in unsure:
        assert to_hex(tones[name].get_color()).upper() == UNSURE
        assert tones[name].get_markerfacecolor() == "white"
    spans = {tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2}
    for name in rows.index:
        assert (rows.loc[name, "low"], rows.loc[name, "high"]) in spans


def test_one_seed_has_dots_and_no_lines():
    (effect,) = found(seeds=1)
    axes = panel(effect)
    assert len(dots(axes)) == 11
    level = [line for line in axes.lines if len({*line.get_ydata()}) == 1]
    assert len([line for line in level if line.get_marker() != "o"]) == 2  # rules between kinds


def test_nothing_is_cut_off_and_no_two_texts_meet():
    long = '{"model":"a very long recipe, that fills more than one line of a panel"}'
    plain, other = world(MEANS, sd=0.2), world(MEANS, sd=0.2, recipe=long)
    three = [*found(), *effects(groups(pd.concat([plain, other.assign(id=other["id"] + "-2")])))]
    assert len(three[-1].group.title) > 80
    with mpl.rc_context(STYLE):
        image = figure(three)
        image.draw_without_rendering()
        frame = image.bbox
        texts = [*image.texts, *(t for axes in image.axes for t in [*axes.texts, axes.title])]
        texts += [image.legends[0], *(a.xaxis.label for a in image.axes)]
        texts += [t for axes in image.axes for t in axes.get_yticklabels()]
        boxes = {str(t) + str(i): t.get_window_extent() for i, t in enumerate(texts)
                 if getattr(t, "get_text", lambda: "x")()}  # fmt: skip
    for name, box in boxes.items():
        assert frame.x0 <= box.x0, name
        assert box.x1 <= frame.x1, name
        assert frame.y0 <= box.y0, name
        assert box.y1 <= frame.y1, name
    listed = list(boxes.items())
    for i, (name, box) in enumerate(listed):
        for other, rival in listed[i + 1 :]:
            assert not box.overlaps(rival), (name, other)


def test_the_same_runs_give_the_same_bytes_and_the_card_is_at_the_foot(tmp_path):
    first = draw(there(), tmp_path / "a")
    second = draw(there(), tmp_path / "b")
    assert [path.name for path in first] == [
        f"effects.{kind}" for kind in ("png", "svg", "pdf", "txt")
    ]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    with mpl.rc_context(STYLE):
        _, foot = figure(found()).texts  # after the heading
    text = foot.get_text().replace("\n", " ")
    assert "32 runs of 16 term sets (encoder)." in text
    assert text.endswith("Data: pairs: 100 sentences, 100% real.")
