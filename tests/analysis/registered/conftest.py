"""A grid without a registration, and the verbs of the analysis."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from registering import GRID, MINE
from typer.testing import CliRunner

from analysis.verbs import register
from study.errors import StudyError


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
