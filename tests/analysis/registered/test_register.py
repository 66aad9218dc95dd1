"""``study register``: what is written beside a grid, what is refused, what is amended."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from registering import GRID, MINE, edit, registered, told

from analysis.commands.judging import agreed
from analysis.registered.file import beside, read, write
from analysis.registered.plan import changes, plan
from analysis.stats.claims import load
from study.errors import StudyError
from study.grid.reading import find
from study.grid.reading import load as load_grid


def test_what_is_registered_is_what_the_grid_asks_for_and_the_claims_about_it(call, grid):
    output = call("register", grid, "--claims", "mine.yaml", "--margin", "BLEU=1")
    assert "9 runs registered" in output
    assert output.endswith("before the first run\n")
    (entry,) = read(Path("g.registered.json"))
    runs = load_grid(grid).runs()
    ids = "\n".join(sorted(run.id for run in runs))
    assert entry.plan["grid"]["digest"] == hashlib.sha256(ids.encode()).hexdigest()
    assert entry.plan["grid"]["seeds"] == [0, 1, 2]
    assert entry.plan["grid"]["cells"] == {"self": ["none", "0111", "1111"]}
    assert entry.plan["margins"] == {"BLEU": 1.0}
    assert entry.plan["claims"]["mine"] == {
        "statement": "All four are better than nothing.",
        "tests": [{"greater": {"1111": 1.0, "none": -1.0}}],
    }
    assert "2a" not in entry.plan["claims"]  # of encoder-decoder attention
    assert "1c" not in entry.plan["claims"]  # of images
    assert (entry.finished, entry.begun) == (0, 0)


def test_no_verb_takes_the_file_for_a_grid(call, grid):
    call("register", grid)
    assert find([Path()]) == [Path("g.yaml"), Path("mine.yaml")]


def test_comments_and_order_make_no_difference(call, grid):
    call("register", grid)
    before = beside(grid).read_bytes()
    edit(
        grid,
        ("# What self-attention needs.", "# 3 seeds tell little.\n# Really."),
        ('[none, "0111", "1111"]', '["1111", none, "0111"]'),
        ("[0, 1, 2]", "[2, 1, 0]"),
        ("width: 64}", "width: 64}  # narrow"),
    )
    assert "registered already" in call("register", grid)
    assert beside(grid).read_bytes() == before


def test_another_registration_is_refused_in_words_and_amended_with_a_reason(call, grid):
    call("register", grid, "--claims", "mine.yaml")
    before = beside(grid).read_bytes()
    edit(
        grid,
        ("width: 64", "width: 96"),
        ('"1111"]', '"1111", "0010"]'),
        ("[0, 1, 2]", "[0, 1, 2, 3, 4]"),
        ("baseline: none", 'baseline: "1111"'),
    )
    edit(Path("mine.yaml"), ("better than nothing", "better"), ("  mine:", "  mine:"))
    more = MINE.partition("\n")[2].replace("mine:", "x:")
    Path("mine.yaml").write_text(Path("mine.yaml").read_text() + more)
    words = ("register", grid, "--claims", "mine.yaml", "--margin", "BLEU=1")
    with pytest.raises(StudyError) as refused:
        call(*words)
    lines = [line.strip() for line in str(refused.value).splitlines()]
    assert lines[0] == "g.registered.json has another registration:"
    assert lines[1:-1] == [
        "baseline none -> 1111",
        "seeds 3 -> 5",
        "recipe: width: 64 -> 96",
        "mechanisms at self: 0010 new",
        "margin of BLEU 0.5 -> 1",
        "claims: mine reworded, x new",
    ]
    assert lines[-1] == 'nothing was written; to add the change and its reason: --amend "REASON"'
    assert beside(grid).read_bytes() == before
    assert "amended" in call(*words, "--amend", "two more GPUs")
    first, second = read(beside(grid))
    assert (first.reason, second.reason) == ("", "two more GPUs")
    assert first.plan == json.loads(before)["entries"][0]["plan"]
    assert second.plan["grid"]["seeds"] == [0, 1, 2, 3, 4]
    content = json.loads(beside(grid).read_text())["entries"]
    assert content[0] == json.loads(before)["entries"][0]
    assert content[1]["previous"] == content[0]["sha256"]
    assert "registered already" in call(*words)


def test_of_several_grids_all_are_registered_or_none(call, grid):
    call("register", grid)
    edit(grid, ("[0, 1, 2]", "[0, 1, 2, 3]"))
    Path("h.yaml").write_text(GRID)
    with pytest.raises(StudyError, match="seeds 3 -> 4"):
        call("register", "h.yaml", grid)
    assert not Path("h.registered.json").exists()


@pytest.mark.parametrize("reason", ["", "  "])
def test_an_amendment_needs_a_reason(call, grid, reason):
    call("register", grid)
    with pytest.raises(StudyError, match="--amend: give a reason"):
        call("register", grid, "--amend", reason)


def test_there_is_nothing_to_amend_before_a_registration(call, grid):
    with pytest.raises(StudyError, match=r"g\.yaml is not registered yet"):
        call("register", grid, "--amend", "more GPUs")
    assert not beside(grid).exists()


def test_a_margin_of_another_task_is_refused(call, grid):
    with pytest.raises(StudyError, match=r"--margin mAP: no grid has that metric.*BLEU"):
        call("register", grid, "--margin", "mAP=0.01")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"BLEU": 0.5', '"BLEU": 5.0'),
        ('"seeds": [0, 1, 2]', '"seeds": [0, 1, 2, 3]'),
        ('"finished": 0', '"finished": 1'),
        ('"date": "20', '"date": "19'),
        ('"sha256": "', '"sha256": "0'),
        ('"reason": ""', '"why": ""'),
        ('"entries": [', '"entries": [7,'),
    ],
)
def test_an_edit_is_named_by_whoever_reads_the_file(call, grid, old, new):
    call("register", grid)
    edit(beside(grid), (old, new))
    with pytest.raises(
        StudyError, match=r"g\.registered\.json is not as `study register` wrote"
    ) as e:
        told(grid)
    assert "git checkout -- g.registered.json" in str(e.value)
    with pytest.raises(StudyError, match="does not have the SHA-256"):
        call("register", grid, "--amend", "to hide it")


def test_an_amendment_cannot_be_taken_out_of_the_middle(call, grid):
    entries = [registered(grid), registered(grid, reason="a"), registered(grid, reason="b")]
    write(beside(grid), entries)
    content = json.loads(beside(grid).read_text())
    del content["entries"][1]
    beside(grid).write_text(json.dumps(content))
    with pytest.raises(StudyError, match="entry 2 of 2026-01-01 does not have the SHA-256"):
        read(beside(grid))


def test_torn_or_newer_files_are_named(grid):
    beside(grid).write_text('{"schema": 1, "ent')
    with pytest.raises(StudyError, match=r"g\.registered\.json: empty or torn JSON"):
        read(beside(grid))
    beside(grid).write_text('{"schema": 2}')
    with pytest.raises(StudyError, match="schema 2 is newer than 1; update"):
        read(beside(grid))
    beside(grid).write_text("{}")
    with pytest.raises(StudyError, match="it has no entries"):
        read(beside(grid))


def test_the_commit_of_the_grid_is_told_and_whether_it_tells_the_grid(call, grid, tmp_path):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", "mine.yaml")
    git("commit", "-qm", "claims")
    call("register", grid)  # which git does not know
    assert read(beside(grid))[0].dirty
    beside(grid).unlink()
    git("add", "g.yaml")
    git("commit", "-qm", "grid")
    call("register", grid)
    (entry,) = read(beside(grid))
    assert (entry.commit, entry.dirty) == (git("rev-parse", "HEAD"), False)


def test_a_new_field_of_recipes_or_tests_is_no_change_at_its_default(grid):
    then = plan(load_grid(grid), load())
    assert changes(json.loads(json.dumps(then)), then) == []
    assert then["grid"]["recipe"] == load_grid(grid).runs()[0].science["recipe"]
    assert "margin" not in then["claims"]["1b"]["tests"][0]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("version", 9, "version of the task's code 9 -> "),
        ("versions", {"0111": 2}, "version of 0111 2 -> 1"),
        ("digest", "0", "ids of its runs"),
        ("seeds", [0, 1, 7], "seeds 0, 1, 7 -> 0, 1, 2"),
        ("name", "old", "name old -> g"),
    ],
)
def test_every_part_of_a_grid_has_words_for_its_change(grid, key, value, said):
    now = plan(load_grid(grid), load())
    then = now | {"grid": now["grid"] | {key: value}}
    (line,) = changes(then, now)
    assert line.startswith(said)


def test_margins_are_those_that_are_registered_unless_others_are_given(call, grid):
    call("register", grid, "--margin", "BLEU=1")

    def margin(*given, claims=None, grids=(grid,)):
        return agreed(claims, [*given], grids)[0].margins["BLEU"]

    assert margin() == 1
    assert margin("BLEU=2") == 2
    Path("wide.yaml").write_text("margins: {BLEU: 3}\n")
    assert margin(claims=[Path("wide.yaml")]) == 1  # what was registered stands until --margin
    assert margin("BLEU=0.5", claims=[Path("wide.yaml")]) == 0.5
    assert margin(claims=[Path("wide.yaml")], grids=None) == 3
    assert margin(grids=None) == load()[0].margins["BLEU"] == 0.5
    # Grids that disagree leave it at what is usual, which one has that is not registered.
    other = Path("h.yaml")
    other.write_text(GRID)
    assert margin(grids=(grid, other)) == 0.5
    assert margin(grids=[other], claims=[Path("wide.yaml")]) == 3
    call("register", other, "--margin", "BLEU=4")
    assert margin(grids=(grid, other)) == 0.5
    assert margin(grids=(grid, other), claims=[Path("wide.yaml")]) == 3


def test_an_amendment_keeps_the_margin_and_says_what_it_changes(call, grid):
    call("register", grid, "--margin", "BLEU=1")
    edit(grid, ("[0, 1, 2]", "[0, 1, 2, 3]"))
    assert "seeds 3 -> 4" in call("register", grid, "--amend", "another GPU")
    assert [entry.plan["margins"]["BLEU"] for entry in read(beside(grid))] == [1, 1]
