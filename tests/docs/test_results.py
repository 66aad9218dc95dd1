"""Tables of results in the pages, held against the commands that the pages say print them.

A table with a comment ``<!-- study VERB ... -->`` above it is a part of what that command prints of
the archived runs: some of its columns, some of its rows.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from analysis.verbs import register

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^<!-- study (?P<command>[^>]*?) -->\n+(?P<table>(?:\|.*\n)+)", re.MULTILINE)
BLOCKS = [
    pytest.param(block["command"], block["table"], id=f"{path.name}-{block['command']}")
    for path in sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
    for block in BLOCK.finditer(path.read_text())
]


@pytest.fixture
def printed(tmp_path, monkeypatch):
    """Return a function that gives the tables that a command prints of the archive alone."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("STUDY_RESULTS", raising=False)
    (tmp_path / "runs").mkdir()
    app = typer.Typer()
    register(app)

    def run(command):
        words = [*shlex.split(command), "--runs", str(tmp_path / "runs")]
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        return [rows(table) for table in re.findall(r"(?:^\|.*\n)+", result.stdout, re.MULTILINE)]

    return run


def rows(table):
    """Return the cells of a Markdown table, a list a row; without the rule below its heading."""
    lines = [line.strip().strip("|").split("|") for line in table.strip().splitlines()]
    return [[cell.strip().strip("`*") for cell in line] for line in lines[:1] + lines[2:]]


def is_part(shown, whole):
    """Whether a table has columns and rows of another, in whatever order."""
    if not set(shown[0]) <= set(whole[0]):
        return False
    places = [whole[0].index(name) for name in shown[0]]
    there = [[row[place] for place in places] for row in whole[1:]]
    return all(row in there for row in shown[1:])


@pytest.mark.parametrize(("command", "table"), BLOCKS)
def test_a_table_of_results_is_what_its_command_prints(command, table, printed):
    shown = rows(table)
    assert len(shown) > 1
    there = printed(command)
    assert any(is_part(shown, whole) for whole in there), there


def test_a_wrong_number_a_row_of_none_and_another_heading_are_seen():
    whole = rows("| m | a | b |\n|---|--:|--:|\n| x | 1 | 2 |\n| y | 3 | 4 |\n")
    assert is_part([["m", "b"], ["y", "4"], ["x", "2"]], whole)
    assert is_part([["m", "b"], ["y", "4"]], whole)
    assert not is_part([["m", "b"], ["y", "5"]], whole)
    assert not is_part([["m", "b"], ["z", "4"]], whole)
    assert not is_part([["m", "c"], ["y", "4"]], whole)


def test_the_study_has_such_tables():
    assert sum("study.md" in block.id for block in BLOCKS) >= 4
