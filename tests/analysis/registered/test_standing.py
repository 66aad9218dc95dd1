"""What is said of a registration above the verdicts, and with each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from registering import GRID, edit, registered, runs_of, told

from analysis.registered.file import beside, read, write
from analysis.registered.plan import plan
from analysis.registered.standing import registrations
from analysis.stats.claims import judge, load
from analysis.stats.group import groups
from analysis.tables.claims import csv, json_text, markdown
from study.grid.reading import load as load_grid


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
    assert "more than 5 of 100 are wrong" in found["1b"].reason
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


def test_a_margin_that_was_given_up_before_the_runs_is_not_registered(grid):
    first, second = (plan(load_grid(grid), load(margins={"BLEU": margin})) for margin in (0.5, 1.0))
    write(
        beside(grid), [registered(grid, plan=first), registered(grid, plan=second, reason="wide")]
    )
    assert told(grid, claims=load(margins={"BLEU": 0.5}))[1]["1b"].registered == "changed"
    assert told(grid, claims=load(margins={"BLEU": 1.0}))[1]["1b"].registered == "amended"


def test_what_the_runs_that_there_are_decide_is_registered_with_these_mechanisms_alone(grid):
    edit(Path("mine.yaml"), ("greater: {1111: 1, none: -1}", 'pareto: "0111"'))
    claims = load([Path("mine.yaml")])
    write(beside(grid), [registered(grid, claims)])
    assert told(grid, claims=claims)[1]["mine"].registered == "yes"
    frame = runs_of(grid)
    edit(grid, ('"1111"]', '"1111", "0010"]'))
    _, found = told(grid, frame, claims)
    assert (found["mine"].registered, found["1b"].registered) == ("changed", "yes")


@pytest.mark.parametrize(
    ("margins", "finished", "mark"),
    [
        ((1.0, 0.5), (3, 0), "amended"),
        ((0.5, 1.0), (3, 0), "late"),
        ((0.5, 0.5), (3, 0), "amended"),
        ((0.5, 1.0), (0, 3), "yes"),
        ((1.0, 0.5), (0, 3), "late"),
    ],
)
def test_an_amendment_may_be_early_after_a_late_entry(grid, margins, finished, mark):
    """Another recipe has other runs, of which none has finished yet."""
    claims = load(margins={"BLEU": 0.5})
    entries = [
        registered(grid, load(margins={"BLEU": margin}), finished=done, reason="why" * at)
        for at, (margin, done) in enumerate(zip(margins, finished, strict=True))
    ]
    write(beside(grid), entries)
    assert told(grid, claims=claims)[1]["1b"].registered == mark
