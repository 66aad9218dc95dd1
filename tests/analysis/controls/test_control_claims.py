"""The claims on controls: which sets they name, and that they tell a control from none."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.stats.claims import judge, load
from analysis.stats.group import groups
from plugins.attention.core.word import TERM_SETS
from plugins.controls.scenes import NEEDS, need

FILES = Path(__file__).parents[3] / "analysis" / "controls"
by_scene = pytest.mark.parametrize("scene", NEEDS)


def claims(scene):
    return {c.id: c for c in load([FILES / f"{scene}.yaml"]) if c.tasks == ["controls"]}


def verdicts(scene, frame):
    found = judge(groups(frame, "none"), claims(scene).values())
    return {verdict.claim.id.removeprefix(f"{scene}-"): str(verdict.verdict) for verdict in found}


@by_scene
def test_every_set_is_claimed_to_be_able_or_not(scene, solved, narrowed):
    """The sets of each claim are those that the rule of the scene says."""
    able = {word for word in TERM_SETS if solved(scene, word)}
    found = claims(scene)
    (alone,) = {w for t in found[f"{scene}-enough"].tests for w in t.weights if t.weights[w] < 0}
    bits = "".join("1" if f"E{number}" in NEEDS[scene] else "0" for number in range(1, 5))
    assert alone == bits
    enough = [w for t in found[f"{scene}-enough"].tests for w in t.weights if t.weights[w] > 0]
    assert sorted([*enough, alone]) == sorted(able)
    chance = [w for t in found[f"{scene}-chance"].tests for w in t.weights if t.weights[w] == -1]
    near = {word for word in TERM_SETS if narrowed(scene, word)}
    assert sorted(chance) == sorted({*TERM_SETS} - able - near)
    assert found[f"{scene}-chance"].expects_chance == ["none", *chance]
    lacking = [w for test in found[f"{scene}-needed"].tests for w in test.weights]
    expected = [word for word in chance if word in lacking]
    assert found[f"{scene}-needed"].expects_chance == ["none"] * bool(expected) + expected
    assert found[f"{scene}-enough"].expects_chance == ["none"]
    place = {f"E{number + 1}": number for number in range(4)}
    pairs = []
    for test in found[f"{scene}-needed"].tests:
        (one,) = (word for word, weight in test.weights.items() if weight == 1)
        (other,) = (word for word, weight in test.weights.items() if weight == -1)
        assert one in able
        assert other not in able
        lost = {term for term, at in place.items() if one[at] > other[at]}
        assert len(lost) == 1
        assert lost <= set(NEEDS[scene])
        assert not {term for term, at in place.items() if one[at] < other[at]}
        assert test.margin == (20 if scene in ("pointer", "ally") else 30)
        pairs.append((one, other))
    free = {w for w in TERM_SETS if w not in able}
    assert {other for _, other in pairs} == free - (set(chance) if scene == "ally" else set())
    assert len(pairs) == len({*pairs})
    assert need(scene).terms == {*NEEDS[scene]}


@by_scene
def test_what_is_needed_and_enough_is_supported(scene, trained):
    found = verdicts(scene, trained(scene))
    assert found == dict.fromkeys(("needed", "enough", "chance"), "supported")


def test_a_set_that_fails_or_answers_without_contradicts(trained):
    failing = verdicts("twin", trained("twin", values={("twin", "1011"): 0.7}))
    assert failing == {"needed": "supported", "enough": "contradicted", "chance": "supported"}
    able = verdicts("twin", trained("twin", values={("twin", "0011"): 0.8}))
    assert able == {"needed": "contradicted", "enough": "supported", "chance": "contradicted"}
