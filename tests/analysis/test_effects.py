"""The factorial, against Yates' algorithm, analysis of variance and planted effects."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from worlds import world

from analysis.stats.effects import TERM_SETS, contrasts, effects, skipped
from analysis.stats.group import groups

BITS = {word: [bit == "1" for bit in word] for word in TERM_SETS}

PLANTED = {word: 20 + 2 * e2 + 1 * e3 - 3 * (e1 and e4) for word, (e1, e2, e3, e4) in BITS.items()}


def yates(means):
    """Return the 15 effects by the algorithm of Yates 1937, by subset of terms such as E1×E3."""
    order = sorted(TERM_SETS, key=lambda word: word[::-1])  # 0000, 1000, 0100, 1100, ...
    column = [means[word] for word in order]
    for _ in range(4):
        pairs = list(zip(column[::2], column[1::2], strict=True))
        column = [a + b for a, b in pairs] + [b - a for a, b in pairs]
    names = ["×".join(f"E{i + 1}" for i, bit in enumerate(word) if bit == "1") for word in order]
    return {name: total / 8 for name, total in zip(names, column, strict=True) if name}


def rows_of(frame):
    (found,) = effects(groups(frame))
    return found.rows.set_index("name")


@pytest.fixture
def noisy():
    return world(PLANTED | {"none": 15}, seeds=3, sd=0.6, block=1, rng=np.random.default_rng(1))


def test_effects_are_those_of_the_yates_algorithm(noisy):
    expected = yates(noisy.groupby("mechanism")["value"].mean())
    rows = rows_of(noisy)
    assert len(rows) == 11
    for name in rows.index.drop("module"):
        assert rows.loc[name, "effect"] == pytest.approx(expected[name]), name


def test_planted_effects_are_found_and_nothing_else():
    rows = rows_of(world(PLANTED, seeds=2))
    planted = {"E1": -1.5, "E2": 2, "E3": 1, "E4": -1.5, "E1×E4": -1.5}
    for name, effect in rows["effect"].items():
        assert effect == pytest.approx(planted.get(name, 0), abs=1e-9), name


def test_intervals_and_p_are_twice_the_coefficients_of_the_saturated_regression(noisy):
    """Coded -1 and +1, with seeds as a block; p after Holm by hand."""
    frame = noisy[noisy["mechanism"] != "none"].copy()
    for i in range(4):
        frame[f"E{i + 1}"] = [1 if word[i] == "1" else -1 for word in frame["mechanism"]]
    fit = smf.ols("value ~ E1 * E2 * E3 * E4 + C(seed)", frame).fit()
    rows = rows_of(frame)
    ten = [name for name in rows.index if name != "module"]
    for name in ten:
        low, high = 2 * fit.conf_int().loc[name.replace("×", ":")]
        assert rows.loc[name, ["low", "high"]].tolist() == pytest.approx([low, high]), name
    ranked = sorted(ten, key=lambda name: rows.loc[name, "p"])
    running = 0.0
    for place, name in enumerate(ranked):
        running = max(running, min(1.0, (10 - place) * rows.loc[name, "p"]))
        assert rows.loc[name, "holm"] == pytest.approx(running)


def test_the_share_of_higher_interactions_is_that_of_the_analysis_of_variance(noisy):
    frame = noisy[noisy["mechanism"] != "none"].copy()
    for i in range(4):
        frame[f"E{i + 1}"] = [1 if word[i] == "1" else -1 for word in frame["mechanism"]]
    table = sm.stats.anova_lm(smf.ols("value ~ E1 * E2 * E3 * E4 + C(seed)", frame).fit())
    terms = table.drop(["Residual", "C(seed)"])
    higher = terms[[name.count(":") > 1 for name in terms.index]]
    share = higher["sum_sq"].sum() / terms["sum_sq"].sum()
    f = higher["sum_sq"].sum() / 5 / table.loc["Residual", "mean_sq"]
    (found,) = effects(groups(frame))
    note = next(n for n in found.notes if "three and four" in n)
    assert f"hold {share:.1%} of" in note
    assert f"F(5, 30) = {f:.3g}," in note


def test_none_tells_of_the_scatter_and_of_the_module_as_a_whole(noisy):
    rows = rows_of(noisy)
    means = noisy.groupby("mechanism")["value"].mean()
    assert rows.loc["module", "kind"] == "module"
    assert rows.loc["module", "effect"] == pytest.approx(means[:-1].mean() - means["none"])
    assert math.isnan(rows.loc["module", "holm"])
    assert "module" not in rows_of(noisy[noisy["mechanism"] != "none"]).index
    (found,) = effects(groups(noisy))
    assert "on 32 degrees of freedom" in found.notes[1]  # (17 - 1) (3 - 1)
    assert found.n == 48


def test_neither_suffix_nor_range_takes_part_in_the_factorial(noisy):
    others = world({"1111+deformable": 90, "0100@3": -50, "dynamic": 7}, seeds=3)
    with_others = rows_of(pd.concat([noisy, others]))
    assert with_others["effect"].tolist() == pytest.approx(rows_of(noisy)["effect"].tolist())


def test_cost_is_the_same_contrast_and_a_point_is_a_hundredth_of_a_fraction():
    macs = {w: 1e6 * (1 + 4 * e1 + 2 * (e2 or e4)) for w, (e1, e2, _, e4) in BITS.items()}
    rows = rows_of(world(PLANTED, seeds=2, sd=0.05, macs=macs))
    assert rows.loc["E1", "macs"] == 4e6
    assert rows.loc[["E2", "E4"], "macs"].tolist() == [1e6, 1e6]
    assert rows.loc[["E3", "E1×E2", "E1×E3"], "macs"].tolist() == [0, 0, 0]
    assert rows.loc["E2×E4", "macs"] == -1e6
    assert rows.loc["E2", "macs_per_point"] == pytest.approx(1e6 / rows.loc["E2", "effect"])
    # A loss has no price, and an interaction cannot be bought.
    assert rows.loc[["E1", "E4", "E1×E4"], "macs_per_point"].isna().all()
    fractions = {word: value / 100 for word, value in PLANTED.items()}
    small = rows_of(world(fractions, seeds=2, macs=macs, metric="mAP", task="detection"))
    assert small.loc["E2", "macs_per_point"] == pytest.approx(1e6 / 2)


def test_a_gain_that_may_be_none_has_no_price():
    flat = {word: 20 + 0.01 * e2 for word, (_, e2, _, _) in BITS.items()}
    rows = rows_of(world(flat, seeds=2, sd=1))
    assert rows.loc["E2", "low"] < 0
    assert math.isnan(rows.loc["E2", "macs_per_point"])


def test_missing_sets_are_named_and_the_rest_is_fitted_without_higher_interactions():
    some = {word: v for word, v in PLANTED.items() if word not in ("0000", "1010", "1111")}
    (found,) = effects(groups(world(some | {"none": 15}, seeds=2)))
    rows = found.rows.set_index("name")
    assert rows.loc["E2", "effect"] == pytest.approx(2)
    assert rows.loc["E1×E4", "effect"] == pytest.approx(-1.5)
    # The mean of all 16 sets, three of them filled in by the fit.
    assert rows.loc["module", "effect"] == pytest.approx(np.mean(list(PLANTED.values())) - 15)
    assert any(note.startswith("missing: 0000, 1010, 1111; the fit takes") for note in found.notes)


def test_too_few_sets_are_left_out_with_the_reason():
    half = {word: v for word, v in PLANTED.items() if word[0] == "1"}
    frame = world(half, seeds=2)
    assert effects(groups(frame)) == []
    (line,) = skipped(groups(frame))
    assert line.startswith("translation · pairs · encoder: 8 of the 16 term sets: ")
    assert line.endswith("missing: 0000, 0001, 0010, 0011, 0100, 0101, 0110, 0111")
    with pytest.raises(ValueError, match="cannot be told apart"):
        contrasts(list(half))
    assert skipped(groups(world(PLANTED))) == []


def test_one_seed_gives_effects_without_intervals():
    (found,) = effects(groups(world(PLANTED, seeds=1)))
    assert found.rows["effect"].notna().all()
    assert found.rows[["low", "high", "p", "holm", "macs_per_point"]].isna().all(axis=None)
    assert "one seed: effects are estimates without an interval" in found.notes


def test_the_notes_name_runs_that_learned_nothing_and_data_that_differ():
    frame = world(PLANTED, seeds=2)
    (found,) = effects(groups(frame))
    assert not any("untrained" in note or "DIFFERENT" in note for note in found.notes)
    frame.loc[frame["id"] == "0011-s1", ["value", "data_card"]] = 0.0, "other"
    (found,) = effects(groups(frame))
    note = "not above the metric of the untrained network: 0011 seed 1 (0.00, untrained 0.00)"
    assert note in found.notes
    assert any(n.startswith("DIFFERENT data") and "other: 0011" in n for n in found.notes)


def test_all_ten_intervals_keep_their_level_and_holm_that_of_the_family(monkeypatch):
    monkeypatch.setattr("gc.collect", lambda: 0)  # multipletests calls it, for 0.1 s each time
    rng, count = np.random.default_rng(2), 100
    frame = world(dict.fromkeys(TERM_SETS, 20.0), seeds=2)
    hits, families = 0, 0
    for _ in range(count):
        frame["value"] = 20 + rng.normal(0, 2, 2)[frame["seed"]] + rng.normal(0, 1, len(frame))
        rows = rows_of(frame)
        hits += ((rows["low"] < 0) & (rows["high"] > 0)).sum()
        families += bool((rows["holm"] < 0.05).any())
    assert hits / (10 * count) == pytest.approx(0.95, abs=0.025)
    assert families / count <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / count)
