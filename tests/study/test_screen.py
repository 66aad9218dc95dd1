"""What is printed is shown as it is, whole, however narrow or old the terminal."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys

import pytest
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from study.files import naming, write_text
from study.screen import Screen

from .conftest import study

ROWS = [
    ("0010+deformable:x=[red]", "0", "planned", "1,234.56"),
    ("/data/[bold]/:a:/none", "1", "completed", "7.00"),
]
HEADERS = ("mechanism", "seed", "state", "MACs")
GRID = "task: toy\nproduct: {mechanism: [none, 1111, 0010]}\nseeds: [0, 17]\n"


def table():
    made = Table(*HEADERS[:3], title="a [grid] :a:", box=SIMPLE_HEAD)
    made.add_column(HEADERS[3], justify="right", no_wrap=True)
    for row in ROWS:
        made.add_row(*row[:2], Text(row[2], "red"), row[3])
    return made


@pytest.fixture
def shown(monkeypatch):
    def show(what, columns=None, **options):
        monkeypatch.delenv("COLUMNS", raising=False)
        if columns is not None:
            monkeypatch.setenv("COLUMNS", str(columns))
        file = io.StringIO()
        screen = Screen(file=file, **options)
        screen.table(what) if isinstance(what, Table) else screen.print(what)
        return file.getvalue()

    return show


@pytest.mark.parametrize("columns", [20, 40, 60, 80, None])
def test_every_cell_of_a_table_is_there_whole(shown, columns):
    text = shown(table(), columns)
    for word in ["a [grid] :a:", *HEADERS[1:], *(cell for row in ROWS for cell in row)]:
        assert word in text
    assert "…" not in text


def test_a_line_of_a_table_that_fits_is_a_row(shown):
    lines = [line.split() for line in shown(table(), 80).splitlines()]
    assert [list(row) for row in ROWS] == [line for line in lines if len(line) == 4][1:]


def test_text_is_neither_markup_nor_emoji_nor_broken(shown):
    line = "gpu:a:1 [red]x[/red] [/] :smiley: " + 30 * "/a/long/path"
    assert shown(line, 40) == line + "\n"
    assert shown(line, 40, force_terminal=True, color_system=None) == line + "\n"


@pytest.mark.parametrize("columns", ["40", "50", "80"])
def test_a_plan_shows_mechanism_seed_and_state_however_narrow(toy, monkeypatch, columns):
    grid = toy(GRID)
    monkeypatch.setenv("COLUMNS", columns)
    done = study("plan", grid, "--no-cost")
    assert done.returncode == 0, done.stderr
    rows, _, _ = done.stdout.partition("6 planned")
    counts = {word: rows.count(word) for word in ("none", "1111", "0010", "17", "planned")}
    assert counts == {"none": 2, "1111": 2, "0010": 2, "17": 3, "planned": 6}
    assert "seed" in rows


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "de_DE.UTF-8", "LC_NUMERIC": "de_DE.UTF-8"},
        {"TERM": "dumb", "NO_COLOR": "1"},
    ],
)
def test_no_locale_and_no_terminal_ends_a_verb_or_changes_a_number(environment):
    done = subprocess.run(
        [sys.executable, "-m", "study", "mechanisms"],
        env={**os.environ, **environment, "COLUMNS": "100"},
        capture_output=True,
        check=True,
    )
    assert b"Traceback" not in done.stderr
    assert b"1.47 " in done.stdout  # MACs of 0000 on a map of 50 x 84


def test_a_default_that_the_help_names_is_not_taken_for_markup():
    words = " ".join(study("status", "--help").stdout.split())
    assert "$STUDY_RUNS or results/runs" in words


def test_ctrl_c_while_the_command_is_imported_ends_it_quietly(tmp_path):
    (tmp_path / "typer.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    words = [sys.executable, "-m", "study", "status"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        words,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        capture_output=True,
        timeout=50,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
    ignoring = subprocess.Popen(
        words,
        env={**environment, "PYTHONSTARTUP": ""},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        stderr=subprocess.DEVNULL,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        ignoring.wait(3)  # as behind nohup: it sleeps on
    ignoring.kill()
    ignoring.wait()


def test_an_error_names_the_file_that_was_to_be_written(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(IsADirectoryError) as raised:
        write_text(tmp_path / "folder", "text")
    assert raised.value.filename == str(tmp_path / "folder")
    with pytest.raises(NotADirectoryError) as inside:
        write_text(tmp_path / "file" / "deeper" / "x.md", "text")
    assert inside.value.filename.startswith(str(tmp_path / "file"))
    with pytest.raises(PermissionError) as beneath, naming(tmp_path / "out", tmp_path / ".b"):
        raise PermissionError(13, "Permission denied", str(tmp_path / ".b" / "page.html"))
    assert beneath.value.filename == str(tmp_path / "out" / "page.html")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
