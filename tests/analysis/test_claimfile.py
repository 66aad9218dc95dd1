"""What a file of claims may say, and how it is told what is wrong."""

from __future__ import annotations

import re

import pytest

from analysis.stats.claimfile import load
from study.errors import StudyError


def test_the_paper_s_claims_have_a_statement_and_name_their_finding():
    claims = load()
    assert len({claim.id for claim in claims}) == len(claims) > 15
    for claim in claims:
        assert claim.statement.endswith(".")
        assert claim.source.startswith(f"Zhu et al. 2019, finding {claim.id[0]},")


def test_margins_of_a_file_reach_the_paper_s_claims(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("margins: {BLEU: 2.5}\n")
    assert {c.margins["BLEU"] for c in load([path])} == {2.5}
    assert {c.margins["mAP"] for c in load([path])} == {0.005}
    assert {c.margins["BLEU"] for c in load([path], {"BLEU": 3.0})} == {3.0}


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (
            "      - greater: {0111: 1, 1112: -1}",
            "9: unknown mechanism '1112'; did you mean '1111'",
        ),
        ("      - greater: {0111: 1, 1111: -2}", "9: the weights of the mechanisms sum to -1"),
        ("      - greater: {0111: 1}", "9: the weights of the mechanisms sum to 1"),
        ("      - greater: {0111: 0, 1111: 0}", "9: a comparison has at least two mechanisms"),
        ("      - greater: {0111: .nan, 1111: -1}", "9: claims.x1.tests.0.greater.0111: input"),
        (
            "      - graeter: {0111: 1, 1111: -1}",
            "9: unknown key .*graeter.*did you mean 'greater'",
        ),
        ("      - margin: 1", "9: a test is one of greater, .*; here: none of them"),
        ("      - equivalent: {0111: 1, 1111: -1}\n        margin: 0", "10: equivalence needs"),
        ("      - equivalent: {0111: 1, 1111: -1}\n        margin: -1", "10: .*greater than or"),
        ("      - cheaper: {mechanism: 0111}", "9: claims.x1.tests.0.cheaper.than: field required"),
        (
            "      - cheaper: {mechanism: 0111, than: 1111, of: modle}",
            "9: .*'mechanism' or 'model'",
        ),
        ("      - cheaper: {mechanism: 0111, than: 1111, fcator: 2}", "9: .*did you mean 'factor'"),
        ("      - cheaper: {mechanism: E1, than: 1111}", "9: E1 is a main effect; a comparison of"),
        ("      []", "8: claims.x1.tests: list should have at least 1 item"),
    ],
)
def test_a_mistake_is_refused_with_file_line_and_what_would_be_right(tmp_path, tests, message):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "margins: {BLEU: 1}\nclaims:\n  x1:\n    statement: Ours.\n    source: us\n"
        f"    tasks: [translation]\n    attention: self\n    tests:\n{tests}\n"
    )
    with pytest.raises(StudyError, match=rf"mine\.yaml:{message}"):
        load([path])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claim: {}", r":1: unknown key 'claim'; did you mean 'claims'"),
        ("margins: {BLEU: -1}", r":1: margins.BLEU: input should be greater than 0"),
        ("claims:\n  a: {statement: s}", r":2: claims.a.source: field required"),
        ("claims:\n  1a:\n    statement: s\n    source: s\n    tasks: [detection]\n"
         "    attention: self\n    tests: [{greater: {E1: 1}}]",
         r":2: there is a claim '1a' already"),
        ("claims:\n  a:\n    statement: s\n    source: s\n    tasks: [translaton]\n"
         "    attention: self\n    tests: [{greater: {E1: 1}}]",
         r":5: unknown task 'translaton'; did you mean 'translation'"),
        ("claims:\n  a:\n    statement: s\n    source: s\n    tasks: [translation]\n"
         "    attention: self\n    recipe: {drop_out: 0}\n    tests: [{greater: {E1: 1}}]",
         r":7: a recipe of translation has no 'drop_out'; did you mean 'dropout'"),
        ("claims:\n  a:\n    attention: both", r":3: claims.a.attention: input should be"),
        ("- 1", ": a mapping of keys to values is expected"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused(tmp_path, text, message):
    path = tmp_path / "f.yaml"
    path.write_text(text)
    with pytest.raises(StudyError, match=re.escape(str(path)) + message):
        load([path])
    with pytest.raises(StudyError, match="no such file"):
        load([tmp_path / "absent.yaml"])
