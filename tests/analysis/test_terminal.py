"""On a terminal tables are as wide as it is; in a file and in a pipe they are Markdown."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import study

from study.screen import Screen

ROOT = Path(__file__).parents[2]
GRID = ROOT / "grids/embedded/encoder.yaml"
CODES = re.compile(r"\x1b\[[0-9;]*m")
BOLD = re.compile(r"\x1b\[1m([^\x1b]*)\x1b\[0m")


@pytest.fixture(autouse=True)
def _pilot(monkeypatch, tmp_path):
    monkeypatch.setenv("STUDY_RESULTS", str(ROOT / "results"))
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs").mkdir()


def on_terminal(columns: int, *arguments: object) -> str:
    """What a verb writes on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "study", *map(str, arguments)]
    size = {"COLUMNS": str(columns), "LINES": "50", "TERM": "xterm-256color"}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=os.environ | size
    ) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # so Linux says that nobody writes any more
                break
            parts.append(part)
        assert process.wait() == 0
    os.close(ours)
    return b"".join(parts).decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_fits_and_its_best_is_bold(columns):
    shown = on_terminal(columns, "table", GRID)
    lines = CODES.sub("", shown).splitlines()
    assert max(map(len, lines)) <= columns
    assert not any(line.startswith("|") for line in lines)
    (header,) = [line.split() for line in lines if line.lstrip().startswith("mechanism")]
    assert header[:3] == ["mechanism", "n", "BLEU"]
    rows = {line.split()[0]: line.split()[2] for line in lines if re.match(r" (\d{4}|none) ", line)}
    assert len(rows) == 17
    best = max(rows, key=lambda word: float(rows[word]))
    (bold,) = [text for text in BOLD.findall(shown) if re.match(r"\s*\d{4} ", text)]
    assert bold.split()[0] == best


def test_wide_has_every_column_of_markdown():
    header = study("table", GRID).stdout.splitlines()[2]
    names = {part for cell in header.strip("| ").split(" | ") for part in cell.split()}
    shown = CODES.sub("", on_terminal(400, "table", GRID, "--wide"))
    (line,) = [line for line in shown.splitlines() if line.lstrip().startswith("mechanism")]
    assert {*line.split()} == names


def test_a_claim_is_told_in_its_words_with_its_verdict():
    shown = CODES.sub("", on_terminal(120, "claims", GRID))
    assert max(map(len, shown.splitlines())) <= 120
    told = " ".join(shown.split())
    assert "1 supported, 1 contradicted, 3 inconclusive, 19 not tested" in told
    assert re.search(r" 3a +contradicted +In self-attention", shown)
    assert "--wide" in shown
    assert "**3a**" in on_terminal(120, "claims", GRID, "--wide")


@pytest.mark.parametrize("verb", ["effects", "ranks"])
def test_other_tables_fit_a_terminal_too(verb):
    shown = CODES.sub("", on_terminal(80, verb, GRID))
    assert max(map(len, shown.splitlines())) <= 80
    assert "|" not in shown


@pytest.mark.parametrize("verb", ["table", "claims", "effects", "ranks"])
def test_in_a_pipe_it_is_markdown(verb):
    assert re.search(r"^\| ?\w+", study(verb, GRID).stdout, re.M)


def test_a_row_that_does_not_fit_is_two_lines():
    from analysis.tables.terminal import lay

    screen = Screen(file=io.StringIO(), force_terminal=True, width=30, color_system=None)
    lay(screen, "a title", ["mechanism", "one number", "another"], [["0010", "1" * 20, "2" * 20]])
    told = screen.file.getvalue()
    assert "one number: 11111111111111111111" in told.replace("\n", " ").replace("  ", " ")
