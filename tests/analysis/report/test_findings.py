"""The sentences on the first page say what effects and verdicts say, and no more."""

from __future__ import annotations

import pytest

from analysis.report.front.findings import findings
from analysis.report.front.verdicts import judged
from analysis.runs.collect import collect
from analysis.stats.claims import judge, load
from analysis.stats.effects import TERM_SETS, effects
from analysis.stats.group import groups
from study.runs.folder import RunFolder


def frame_of(make, root, values, seeds=(0, 1, 2)):
    """Return the runs of all term sets; `values` gives each its BLEU."""
    folders = [
        make(root, word, seed, values(word, seed), sites=("encoder",))
        for word in TERM_SETS
        for seed in seeds
    ]
    return collect([RunFolder(folder) for folder in folders])


def told(frame):
    (found,) = findings(groups(frame), judged(frame, load(), []))
    return " ".join(found.sentences)


def planted(word, seed):
    """E2 brings three points, E4 two; each set and seed scatters by some tenths."""
    luck = ((int(word, 2) * 7 + seed * 5) % 11 - 5) / 25
    return 15 + 3 * (word[1] == "1") + 2 * (word[3] == "1") + luck


@pytest.fixture(scope="module")
def frame(make, tmp_path_factory):
    return frame_of(make, tmp_path_factory.mktemp("found"), planted)


def test_effects_are_told_with_the_interval_that_study_effects_gives(frame):
    (group,) = groups(frame)
    (factorial,) = effects([group])
    rows = factorial.rows.set_index("name")
    said = told(frame)
    for name in ("E2", "E4"):
        row = rows.loc[name]
        assert row.holm < 0.05
        reach = (row.high - row.low) / 2
        assert f"{name} adds {row.effect:.2f} ± {reach:.2f} BLEU" in said
    assert rows.loc[["E1", "E3"], "holm"].min() > 0.05
    assert "E1 and E3 cannot be told from 0." in said
    assert "Interaction" not in said


def test_verdicts_are_counted_as_study_claims_judges_them(frame):
    (group,) = groups(frame)
    verdicts = [each.verdict for each in judge([group], load()) if each.group is not None]
    tested = [each for each in verdicts if each != "not tested"]
    assert len({*tested}) > 1
    said = told(frame)
    assert f"Of {len(tested)} claims tested, " in said
    words = {"supported": "supported", "contradicted": "contradicted"}
    for verdict, word in words.items():
        if count := tested.count(verdict):
            assert f"{count} {'are' if count > 1 else 'is'} {word}" in said
    if count := tested.count("inconclusive"):
        assert f"{count} cannot be told" in said


def test_the_best_mean_is_hedged_by_those_that_it_cannot_be_told_from(frame):
    said = told(frame)
    means = frame.groupby("mechanism")["value"].mean()
    assert f"{means.idxmax()} has the best mean, {means.max():.2f} BLEU (3 seeds)" in said
    # The four sets with E2 and E4 differ by their luck alone.
    assert "3 others cannot be told from it" in said


def test_one_seed_tells_no_effect(make, tmp_path):
    said = told(frame_of(make, tmp_path, planted, seeds=(0,)))
    assert "One seed: what a term adds cannot be told from luck." in said
    assert "adds 3" not in said
    assert "it cannot be told from the others" in said
