"""The functions of ``import study``, and the notebook that shows them, run cell by cell."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import study
from study.errors import StudyError
from study.grid.grid import Grid

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in ("STUDY_RUNS", "STUDY_RESULTS"):
        monkeypatch.delenv(name, raising=False)


def run(source: str, names: dict) -> object:
    """Execute a cell as Jupyter does, and return what it would show below it."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def test_every_cell_of_the_notebook_runs_and_shows_the_pilot():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names: dict = {}
    plt.switch_backend("agg")
    shown = [run(source, names) for source in sources]
    assert shown[0] == ("translation", [0, 1], 34)
    assert shown[1].to_dict() == {"completed": 34}
    assert len(names["runs"]) == 34
    means = names["means"]
    assert len(means) == 17
    by_hand = [
        json.loads(path.read_text())["result"]["metrics"]["BLEU"]
        for path in ROOT.glob("results/embedded/encoder/*-1111-encoder-*.json")
    ]
    assert means.loc["1111", "BLEU"] == pytest.approx(sum(by_hand) / 2)
    assert len(names["axes"].texts) == 17
    assert len(shown[-1]) >= 10  # four terms and their six interactions


def test_the_notebook_keeps_no_outputs_of_somebody_elses_machine():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_the_functions_are_listed_and_others_are_refused():
    assert {"load_grid", "load_runs", "plan", "submit"} <= {*dir(study)}
    with pytest.raises(AttributeError, match="no attribute 'load_run'"):
        _ = study.load_run


def test_a_mistake_is_the_sentence_of_the_command(tmp_path):
    with pytest.raises(StudyError, match="no such file"):
        study.load_grid(tmp_path / "absent.yaml")
    with pytest.raises(StudyError, match="none of the 34 runs has it"):
        study.plan("grids/embedded/encoder.yaml", mechanism=["dynamic"])


def test_several_grids_and_filters_are_taken():
    assert isinstance(study.load_grid("grids/embedded/cross.yaml"), Grid)
    folder = Path("grids/embedded")
    plan = study.plan(["grids/embedded/cross.yaml", folder], seed=[1])
    alone = [study.plan(grid, seed=[1]) for grid in sorted(folder.glob("*.yaml"))]
    assert len(alone) > 1
    assert len(plan) == len(set(plan["id"]))
    assert set(plan["id"]) == set().union(*(runs["id"] for runs in alone))
    assert set(plan["seed"]) == {1}
