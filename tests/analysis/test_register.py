"""``study register``: what is written beside a grid, what is refused, what verdicts say of it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner
from worlds import world

from analysis.registered.file import Entry, beside, read, write
from analysis.registered.plan import changes, plan
from analysis.registered.standing import registrations
from analysis.stats.claims import judge, load
from analysis.stats.group import groups
from analysis.tables.claims import csv, json_text, markdown
from analysis.verbs import register
from study.errors import StudyError
from study.grid.grid import find
from study.grid.grid import load as load_grid

GRID = """\
# What self-attention needs.
task: translation
recipe: {data: software-en-de, width: 64}
product:
  mechanism: [none, "0111", "1111"]
  sites: [self]
seeds: [0, 1, 2]
baseline: none
"""
MINE = """\
claims:
  mine:
    statement: All four are better than nothing.
    source: us
    tasks: [translation]
    attention: self
    tests:
      - greater: {1111: 1, none: -1}
"""


@pytest.fixture
def grid(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STUDY_RESULTS", str(tmp_path / "results"))
    (tmp_path / "runs").mkdir()
    Path("mine.yaml").write_text(MINE)
    path = Path("g.yaml")
    path.write_text(GRID)
    return path


@pytest.fixture
def call(grid):
    app = typer.Typer()
    register(app)

    def run(*arguments):
        result = CliRunner().invoke(app, [*map(str, arguments), "--runs", "runs"])
        if isinstance(result.exception, StudyError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def edit(path, *pairs):
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def runs_of(grid, *, finished="2026-06-01T00:00:00+00:00", **columns):
    """Completed runs of a grid, as the collected table has them."""
    means = {"none": 20.0, "0111": 25.0, "1111": 25.1}
    frames = []
    for run in load_grid(grid).runs():
        own = world({run.mechanism: means[run.mechanism] + run.seed / 10}, seeds=[run.seed])
        frames.append(
            own.assign(
                id=run.id,
                sites=".".join(run.sites),
                finished=finished,
                grid="g",
                data=run.data,
                recipe=json.dumps(run.science["recipe"], sort_keys=True),
                **columns,
            )
        )
    return pd.concat(frames, ignore_index=True)


def registered(grid, claims=None, date="2026-01-01T00:00:00+00:00", reason="", **more):
    """An entry as the verb would have made it on some day, before any run."""
    now = plan(load_grid(grid), claims or load())
    fields = {"commit": "", "dirty": False, "code": "0", "finished": 0, "begun": 0, "plan": now}
    return Entry(date=date, reason=reason, **(fields | more))


def told(grid, frame=None, claims=None):
    """What is said above verdicts on the runs of a grid, and the verdicts by claim."""
    frame = runs_of(grid) if frame is None else frame
    claims = claims or load()
    found = registrations([grid], claims, frame)
    return found.lines, {v.claim.id: v for v in found.marked(judge(groups(frame), claims))}


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


def test_a_registration_after_runs_says_so_everywhere(call, grid, make_run):
    first, second = load_grid(grid).runs()[:2]
    for run, value in ((first, 20.0), (second, None)):
        there = make_run(run.mechanism, run.seed, value, task="translation", metric="BLEU")
        there.rename(there.with_name(run.id))
    (Path("runs") / second.id / "attempts" / "1").mkdir(parents=True)
    words = "after 1 of its 9 runs had finished"
    assert words in call("register", grid)
    (entry,) = read(beside(grid))
    assert (entry.finished, entry.begun) == (1, 1)
    lines, found = told(grid, runs_of(grid, finished="2999-01-01T00:00:00+00:00"))
    assert words in lines[0]
    assert found["1b"].registered == "late"
    assert words in call("register", grid)


def test_runs_that_the_registration_did_not_see_count_too(grid):
    """Somebody may have kept them in another folder."""
    write(beside(grid), [registered(grid, date="2026-06-02T00:00:00+00:00")])
    lines, found = told(grid)
    assert "registered 2026-06-02, after 9 of its 9 runs had finished" in lines[0]
    assert found["1b"].registered == "late"


def test_verdicts_as_registered_are_marked_in_every_format(grid):
    write(beside(grid), [registered(grid)])
    lines, found = told(grid)
    assert lines[0].startswith("g.yaml: registered 2026-01-01, before the first run")
    assert "changed since:" not in lines[0]
    assert found["1b"].registered == "yes"
    verdicts = list(found.values())
    text = markdown(verdicts, registered=lines)
    assert text.startswith(lines[0])
    header, _, *rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert header.split("|")[-2].strip() == "registered"
    assert {row.split("|")[-2].strip() for row in rows} == {"yes"}
    assert "no registration shows that" not in text
    assert f"# {lines[0]}" in csv(verdicts, registered=lines).splitlines()[0]
    whole = json.loads(json_text(verdicts, registered=lines))
    assert whole["registered"] == lines
    marks = {entry["claim"]: entry["registered"] for entry in whole["verdicts"]}
    assert marks["1b"] == "yes"
    assert marks["2a"] == ""  # no run is about it


def test_without_a_registration_the_verdicts_say_what_must_have_been_fixed(grid):
    lines, found = told(grid)
    assert lines == ["not registered: g.yaml"]
    assert found["1b"].registered == "no"
    text = markdown(list(found.values()), registered=lines)
    assert "number of seeds were fixed before the runs; no registration shows that" in text
    assert "| registered |" not in text


def test_what_was_changed_since_is_said_and_marks_the_verdicts_that_it_touches(call, grid):
    claims = load([Path("mine.yaml")])
    write(beside(grid), [registered(grid, claims)])
    edit(Path("mine.yaml"), ("are better than", "beat"))
    now = load([Path("mine.yaml")])
    lines, found = told(grid, claims=now)
    assert "changed since: claims: mine reworded" in lines[0]
    assert (found["mine"].registered, found["1b"].registered) == ("changed", "yes")
    lines, found = told(grid, claims=load(margins={"BLEU": 1}))
    assert "changed since: margin of BLEU 0.5 -> 1; claims: mine gone" in lines[0]
    assert found["1b"].registered == "changed"
    edit(grid, ("width: 64", "width: 96"))
    lines, found = told(grid)
    assert "changed since: recipe: width: 64 -> 96" in lines[0]
    assert found["1b"].registered == "changed"


def test_a_claim_that_was_added_is_not_registered_unless_an_amendment_has_it(grid):
    claims = load([Path("mine.yaml")])
    write(beside(grid), [registered(grid)])
    assert told(grid, claims=claims)[1]["mine"].registered == "no"
    write(beside(grid), [registered(grid), registered(grid, claims, reason="an idea")])
    lines, found = told(grid, claims=claims)
    said = 'amended 2026-01-01, before the first run, "an idea": claims: mine new'
    assert said in lines[0]
    assert (found["mine"].registered, found["1b"].registered) == ("amended", "yes")
    late = registered(grid, claims, date="2026-07-01T00:00:00+00:00", reason="an idea")
    write(beside(grid), [registered(grid), late])
    lines, found = told(grid, claims=claims)
    assert "amended 2026-07-01, after 9 of its 9 runs had finished" in lines[0]
    assert (found["mine"].registered, found["1b"].registered) == ("late", "yes")


def test_more_seeds_than_registered_are_told_with_their_price(grid):
    write(beside(grid), [registered(grid)])
    edit(grid, ("[0, 1, 2]", "[0, 1, 2, 3, 4]"))
    lines, found = told(grid)
    assert "changed since: seeds 3 -> 5" in lines[0]
    said = "3 seeds were registered and 5 used: where seeds are added until a verdict is conclusive"
    assert said in found["1b"].reason
    assert "become 11 to 15" in found["1b"].reason
    assert said in markdown(list(found.values()), registered=lines)


@pytest.mark.parametrize(("date", "number"), [("2026-02-01", 5), ("2026-07-01", 3)])
def test_seeds_that_an_amendment_adds_count_as_registered_only_before_the_runs(grid, date, number):
    first = registered(grid)
    edit(grid, ("[0, 1, 2]", "[0, 1, 2, 3, 4]"))
    later = registered(grid, date=f"{date}T00:00:00+00:00", reason="more GPUs")
    write(beside(grid), [first, later])
    lines, found = told(grid)
    assert '"more GPUs": seeds 3 -> 5' in lines[0]
    assert ("3 seeds were registered and 5 used" in found["1b"].reason) == (number == 3)


def test_seeds_that_took_the_place_of_registered_ones_are_named(grid):
    write(beside(grid), [registered(grid)])
    edit(grid, ("[0, 1, 2]", "[0, 5, 6]"))
    lines, found = told(grid)
    assert "changed since: seeds 0, 1, 2 -> 0, 5, 6" in lines[0]
    assert found["1b"].reason.endswith("; not among the registered seeds: 5, 6")


def test_fewer_seeds_than_registered_are_an_interim_look(grid):
    edit(grid, ("[0, 1, 2]", "[0, 1, 2, 3, 4]"))
    write(beside(grid), [registered(grid)])
    frame = runs_of(grid)
    frame.loc[frame["seed"] > 1, ["state", "value", "finished"]] = ["planned", None, None]
    lines, found = told(grid, frame)
    assert "before the first run" in lines[0]
    assert found["1b"].reason.endswith("; interim: 2 of 5 registered seeds")
    assert found["1b"].registered == "yes"
    assert "interim" not in told(grid)[1]["1b"].reason


def test_runs_of_a_grid_without_a_registration_leave_none_to_what_is_compared_with_them(grid):
    write(beside(grid), [registered(grid)])
    other = Path("h.yaml")
    other.write_text(GRID.replace('[none, "0111", "1111"]', '[none, "1111"]'))
    frame = runs_of(grid)
    found = registrations([grid, other], load(), frame)
    assert found.lines[1] == "not registered: h.yaml"
    assert {v.registered for v in found.marked(judge(groups(frame), load())) if v.group} == {"yes"}
    whole = GRID.replace('"1111"]', '"1111", "0011"]')
    edit(other, (other.read_text(), whole))
    more = runs_of(grid)
    extra = more[more["mechanism"] == "1111"].copy()
    runs = [run for run in load_grid(other).runs() if run.mechanism == "0011"]
    extra = extra.assign(mechanism="0011", id=[run.id for run in runs])
    frame = pd.concat([more, extra], ignore_index=True)
    found = registrations([grid, other], load(), frame)
    assert {v.registered for v in found.marked(judge(groups(frame), load())) if v.group} == {"no"}


def test_without_a_grid_file_the_grids_of_the_runs_are_named(grid):
    frame = runs_of(grid)
    found = registrations([], load(), frame)
    assert found.lines == [
        "registrations lie beside grid files: name the grids to see what was registered (these "
        "runs are of g)"
    ]
    assert {v.registered for v in found.marked(judge(groups(frame), load()))} == {""}


def test_other_code_that_judges_is_told(call, grid):
    call("register", grid)
    assert "the code that judges has changed" not in told(grid)[0][0]
    (entry,) = read(beside(grid))
    write(beside(grid), [replace(entry, code="0")])
    assert told(grid)[0][0].endswith("the code that judges has changed since")


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
