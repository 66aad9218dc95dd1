import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from plugins.attention.core.word import TERM_SETS
from study.cli import app


@pytest.fixture(scope="module")
def rows():
    done = CliRunner().invoke(app, ["mechanisms", "--json"])
    assert done.exit_code == 0, done.output
    return {row["mechanism"]: row for row in json.loads(done.stdout)}


def test_every_mechanism_is_listed_with_formula_cost_and_source(rows):
    assert set(rows) >= {"none", "dynamic", "+deformable", *TERM_SETS}
    for row in rows.values():
        assert row["formula"]
        assert row["paper"]
        assert row["url"].startswith("https://")
        assert row["map"] or row["sequence"] or row["pair"]


def test_numbers_by_hand(rows):
    """1000 on 50x84 queries, 25x42 keys, 256 channels; in a sequence of 32, 512 channels."""
    n, k, c = 50 * 84, 25 * 42, 256
    assert rows["1000"]["map"]["macs"] == 2 * n * c**2 + 2 * k * c**2 + 2 * n * k * c
    assert rows["1000"]["map"]["parameters"] == 4 * c**2 + c + 1
    t, c = 32, 512
    assert rows["1000"]["sequence"]["macs"] == 4 * t * c**2 + 2 * t**2 * c
    assert rows["none"]["map"]["macs"] == rows["none"]["sequence"]["parameters"] == 0
    words, width, regions, features = 14, 512, 36, 2048
    hop = width // 2 * (regions * width + width + regions) + regions * width
    assert rows["soft"]["pair"]["macs"] == regions * features * width + hop
    assert rows["1010"]["pair"]["macs"] == (
        2 * words * width**2 + 2 * regions * features * width + 2 * words * regions * width
    )
    assert rows["dynamic"]["sequence"]["macs"] == t * (3 * c**2 + c * 8 * 3 + c * 3)


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_the_table_fits(monkeypatch, columns, rows):
    monkeypatch.setenv("COLUMNS", str(columns))
    done = CliRunner().invoke(app, ["mechanisms"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= min(columns, 100)
    for word, row in rows.items():
        tables = 1 + bool(row["map"] or row["sequence"]) + bool(row["pair"])  # formulas and numbers
        assert sum(line.split()[:1] == [word] for line in lines) == tables
    assert "…" not in done.stdout
    assert "soft softmax_k(w·tanh(W k + U q)) 0.0426 1.31" in " ".join(done.stdout.split())
    assert "https://arxiv.org/abs/1904.05873" in done.stdout


def test_listing_needs_no_torch():
    code = (
        "import sys; from study.commands.mechanisms import mechanisms; mechanisms(as_json=True);"
        " sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
