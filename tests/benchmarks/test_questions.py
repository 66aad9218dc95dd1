"""Both sides of the benchmark answer the same, and each row says what was measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from study.benchmarks import questions
from study.benchmarks.questions import EACH, IMAGES, QUICK, Case, Row, cases, made
from study.cli import app
from study.grid.reading import load

GRIDS = Path(__file__).parents[2] / "grids"


@pytest.mark.parametrize("case", cases(GRIDS, None), ids=lambda case: case.name)
def test_one_by_one_gives_what_all_at_once_give(case):
    recipe = load(GRIDS / questions.GRIDS[case.unit]).recipe | QUICK
    model, batch = made(case, recipe, "cpu")
    labels = ("scores", "right")
    asked = {name: x for name, x in batch.items() if name not in labels}
    with torch.no_grad():
        together = model.double().eval()(**_double(asked))
        for turn in range(EACH[case.unit]):
            alone = model(**_double(questions._only(asked, case.unit, turn)))
            torch.testing.assert_close(alone, together[turn :: EACH[case.unit]])


def _double(batch):
    return {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}


def test_a_row_has_milliseconds_of_one_and_the_ratio_of_rounds_side_by_side():
    number = IMAGES * EACH["phrase"]
    row = Row(Case("phrase", "co"), "evaluation", [0.1, 0.2, 0.4], [0.2, 0.6, 0.4])
    found = row.to_csv()
    assert found["milliseconds_at_once"] == pytest.approx(200 / number)
    assert found["milliseconds_one_by_one"] == pytest.approx(400 / number)
    assert found["ratio"] == pytest.approx(2)


def test_the_verb_writes_what_it_measured(tmp_path):
    arguments = ["bench", "questions", "--quick", "--grids", str(GRIDS), "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--only", "question bilinear:glimpses=4:"])
    assert done.exit_code == 0, done.output
    (file,) = tmp_path.iterdir()
    assert file.name == "questions-quick-part.csv"
    rows = pd.read_csv(file)
    assert rows["pass"].tolist() == ["evaluation", "training"] * 2
    assert set(rows["mechanism"]) == {
        f"bilinear:glimpses=4:joint={j}" for j in ("sum", "concatenation")
    }
    assert (rows["ratio"] > 0).all()
    refused = CliRunner().invoke(app, [*arguments, "--only", "nothing"])
    assert "no case has 'nothing' in its name" in str(refused.exception)
