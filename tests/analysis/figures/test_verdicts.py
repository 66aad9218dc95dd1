"""The forest plot of verdicts: one axis in margins, the claimed region, colour and shape."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.colors import to_hex
from worlds import world

from analysis.figures.drawing.form import Form, shaped
from analysis.paper.verdicts import SIGNS, draw, figure, shown
from analysis.stats.effects import TERM_SETS
from analysis.stats.group import groups

WORTH = (0.5, 1.5, 0.9, 1.9)  # of E1 to E4
MEANS = {
    word: 20 + sum(worth for worth, there in zip(WORTH, word, strict=True) if there == "1")
    for word in TERM_SETS
}


def there(seeds=3, **columns):
    rng = np.random.default_rng(3)
    return groups(world(MEANS | {"none": 18}, seeds=seeds, sd=0.3, rng=rng, **columns))


@pytest.fixture(scope="module")
def found():
    return shown(there())


def rows(axes, found):
    """Line, sign and shade of each verdict, from the top."""
    lines = [line for line in axes.lines if len(set(line.get_ydata())) == 1]
    spans = [line for line in lines if len(line.get_xdata()) == 2]
    signs = [line for line in lines if len(line.get_xdata()) == 1]
    assert len(spans) == len(signs) == len(axes.collections) == len(found)
    return zip(found, spans, signs, axes.collections, strict=True)


def test_all_claims_share_an_axis_in_units_of_the_margin(found):
    assert {verdict.verdict for verdict in found} == set(SIGNS)
    (axes,) = figure(found).axes
    for verdict, span, sign, _ in rows(axes, found):
        margin = verdict.claim.margins["BLEU"]
        assert list(span.get_xdata()) == pytest.approx(
            [verdict.low / margin, verdict.high / margin]
        )
        assert list(sign.get_xdata()) == pytest.approx([verdict.effect / margin])
    low, high = axes.get_xlim()
    assert low < min(v.low for v in found) / 0.5
    assert high > max(v.high for v in found) / 0.5


def test_the_margin_is_that_of_the_form_where_it_has_one(found):
    with shaped(Form(margins={"BLEU": 2.0})):
        wide = shown(there())
    assert {verdict.claim.margins["BLEU"] for verdict in wide} == {2.0}
    assert [v.verdict for v in wide] != [v.verdict for v in found]


def test_the_region_of_each_claim_is_shaded(found):
    (axes,) = figure(found).axes
    _, high = axes.get_xlim()
    regions = {
        "greater": lambda m: (m, high),
        "not_worse": lambda m: (-m, high),
        "equivalent": lambda m: (-m, m),
    }
    kinds = set()
    for verdict, _, _, shade in rows(axes, found):
        kind = verdict.deciding.kind
        kinds.add(kind)
        x = shade.get_paths()[0].vertices[:, 0]
        assert (x.min(), x.max()) == pytest.approx(regions[kind](verdict.margin / 0.5))
    assert kinds == set(regions)


def test_verdicts_differ_in_colour_and_in_shape_and_none_is_a_sign_of_about(found):
    image = figure(found)
    (axes,) = image.axes
    looks = {}
    for verdict, span, sign, _ in rows(axes, found):
        look = (to_hex(sign.get_color()), sign.get_marker())
        assert to_hex(span.get_color()) == look[0]
        looks.setdefault(verdict.verdict, set()).add(look)
    assert all(len(own) == 1 for own in looks.values())
    for parts in zip(*(own.pop() for own in looks.values()), strict=True):
        assert len(set(parts)) == 3
    assert "≈" not in image.get_label()


def test_where_lower_is_better_the_better_is_still_on_the_right(monkeypatch, found):
    metric = found[0].group.metric
    monkeypatch.setattr(type(metric), "sign", property(lambda _: -1))
    (axes,) = figure(found).axes
    for verdict, _, sign, _ in rows(axes, found):
        assert list(sign.get_xdata()) == pytest.approx([-verdict.effect / 0.5])


def test_a_narrow_one_has_the_statements_in_its_caption(found):
    with shaped(Form(3.25, plain=True)):
        image = figure(found)
    image.draw_without_rendering()
    box = image.get_tightbbox()
    assert 0 <= box.x0 <= box.x1 <= 3.25
    assert [t.get_text() for t in image.axes[0].get_yticklabels()] == [v.claim.id for v in found]
    assert all(verdict.claim.statement in image.get_label() for verdict in found)


def test_one_seed_has_no_interval_and_no_figure(tmp_path, found):
    assert draw(there(1), tmp_path) == []
    assert all(math.isfinite(verdict.low) for verdict in found)
    assert [path.name for path in draw(there(), tmp_path)] == [
        f"verdicts.{kind}" for kind in ("png", "svg", "pdf", "txt")
    ]
