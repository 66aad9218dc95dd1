"""The first page tells of verdicts, effects and means all that the terminal does."""

from __future__ import annotations

import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from analysis.registered.file import Entry, beside, write
from analysis.registered.plan import plan
from analysis.stats.claims import load
from analysis.verbs import register
from study.errors import StudyError
from study.grid.reading import load as load_grid

HERE = Path(__file__).parents[3]


class Text(HTMLParser):
    """What a page says."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.said = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_data(self, data):
        self.said += data


def asked(*arguments):
    """Return what a verb prints."""
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if isinstance(result.exception, StudyError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The finished pilot's grid, registered in time, with fewer seeds and another margin."""
    grid = tmp_path_factory.mktemp("registered") / "encoder.yaml"
    shutil.copy(HERE / "grids/embedded/encoder.yaml", grid)
    then = plan(load_grid(grid), load())
    then["grid"]["seeds"] = [0]
    entry = Entry("2020-02-02T00:00:00+00:00", "", "", False, "0", 0, 0, then)
    write(beside(grid), [entry])
    return grid


@pytest.fixture(scope="module")
def words(place):
    """The grid, and the margin that is another one than was registered."""
    (place.parent / "runs").mkdir()
    return (place, "--runs", place.parent / "runs")


@pytest.fixture(scope="module")
def page(words, place):
    """The text of the report on it."""
    out = place.parent / "report"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(HERE)
        asked("report", *words, "--margin", "BLEU=1", "--out", out)
    return " ".join(Text(out / "index.html").said.split())


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.chdir(HERE)


def rows(markdown):
    """The tables of a text as mappings of heading to cell, and its other lines without markup."""
    lines = [line for line in markdown.splitlines() if line]
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[0] == "|"]
    others = [line.removeprefix("- ").replace("**", "") for line in lines if line[0] != "|"]
    return [dict(zip(table[0], row, strict=True)) for row in table[2:]], others


def test_verdicts_are_those_of_the_terminal(page, words):
    table, others = rows(asked("claims", *words, "--margin", "BLEU=1"))
    assert len(table) > 3
    for row in table:
        for name in ("effect", "90 % interval", "margin", "detectable", "n", "p (Holm)"):
            if row[name] != "-":
                assert f"{name}{row[name]}" in page
        assert f"registered{row['registered']}" in page
        assert row["runs"] in page
    assert any("(usual: 0.50)" in row["margin"] for row in table)
    tested = [line for line in others if line.startswith("translation · ")]
    reasons = [line.partition(": ")[2].partition(": ")[2] for line in tested if "interval" in line]
    assert reasons
    # The lines above the table: registration, how often verdicts err; below: cards and cautions.
    above = [line for line in others[: others.index(tested[0])] if "Zhu et al." not in line]
    above = [line for line in above if not line.endswith(" not tested")]  # the count
    assert any("1 seed was registered and 2 used" in reason for reason in reasons)
    assert any("changed since: seeds 1 -> 2" in line for line in above)
    assert any(line.startswith("all of this holds if") for line in above)
    below = [line for line in others if line.startswith("data: ")]
    assert below
    for line in (*above, *reasons, *below):
        assert line in page


def test_effects_are_those_of_the_terminal(page, words):
    table, others = rows(asked("effects", *words))
    assert [row["effect"].split()[0] for row in table[:4]] == ["E1", "E2", "E3", "E4"]
    for row in table:
        assert "".join(row.values()) in page
    assert len(others) > 3
    for line in others:
        assert line.removeprefix("### ") in page


def test_notes_below_means_are_those_of_the_terminal(page, words):
    _, others = rows(asked("table", *words))
    assert len(others) > 3
    for line in others:
        if not line.startswith("### "):  # which there has the grid's name too
            assert line in page


def test_a_registration_that_was_edited_ends_the_report(place, words, tmp_path):
    text = beside(place).read_text()
    beside(place).write_text(text.replace("2020", "2019"))
    try:
        with pytest.raises(StudyError, match="not as `study register` wrote it"):
            asked("report", *words, "--out", tmp_path / "report")
    finally:
        beside(place).write_text(text)
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("margin", ["mAPP=1", "BLEU=0"])
def test_a_margin_that_is_none_is_refused(words, tmp_path, margin):
    with pytest.raises(StudyError, match=f"--margin {margin.split('=')[0]}"):
        asked("report", *words, "--margin", margin, "--out", tmp_path / "report")
