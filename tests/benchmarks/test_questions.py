"""Both sides of the benchmark answer the same, and each row says what was measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from study.benchmarks import questions
from study.benchmarks.questions import EACH, IMAGES, QUICK, Case, Row, cases, made, one_of_each
from study.cli import app
from study.grid.reading import load

GRIDS = Path(__file__).parents[2] / "grids"


@pytest.mark.parametrize("case", cases(GRIDS, None), ids=lambda case: case.name)
def test_all_sides_answer_the_same(case):
    recipe = load(GRIDS / questions.GRIDS[case.unit]).recipe | QUICK
    model, batch = made(case, recipe, "cpu")
    labels = ("scores", "right")
    asked = {name: x for name, x in batch.items() if name not in labels}
    with torch.no_grad():
        shared = model.double().eval()(**_double(asked))
        for turn in range(EACH[case.unit]):
            alone = model(**_double(one_of_each(asked, case.unit, turn)))
            torch.testing.assert_close(alone, shared[turn :: EACH[case.unit]])
        sharing = [each for each in model.modules() if getattr(each, "shares_memory", False)]
        assert len(sharing) == 1
        sharing[0].shares_memory = False
        torch.testing.assert_close(model(**_double(asked)), shared)


def _double(batch):
    return {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}


def test_a_row_has_milliseconds_of_one_and_the_ratios_of_rounds_side_by_side():
    number = IMAGES * EACH["phrase"]
    taken = {"shared": [0.1, 0.2, 0.4], "copied": [0.2, 0.6, 0.4], "one_by_one": [0.4, 0.8, 1.6]}
    found = Row(Case("phrase", "co"), "forward", taken).to_csv()
    assert found["milliseconds_shared"] == pytest.approx(200 / number)
    assert found["milliseconds_copied"] == pytest.approx(400 / number)
    assert found["ratio_copied"] == pytest.approx(2)
    assert found["ratio_one_by_one"] == pytest.approx(4)


def test_the_verb_writes_what_it_measured(tmp_path):
    arguments = ["bench", "questions", "--quick", "--grids", str(GRIDS), "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--only", "question bilinear:glimpses=4:"])
    assert done.exit_code == 0, done.output
    (file,) = tmp_path.iterdir()
    assert file.name == "questions-quick-part.csv"
    rows = pd.read_csv(file)
    assert rows["pass"].tolist() == ["forward", "forward+backward"] * 2
    joined = {f"bilinear:glimpses=4:joint={joint}" for joint in ("sum", "concatenation")}
    assert set(rows["mechanism"]) == joined
    assert (rows[["ratio_copied", "ratio_one_by_one"]] > 0).all(axis=None)
    refused = CliRunner().invoke(app, [*arguments, "--only", "nothing"])
    assert "no case has 'nothing' in its name" in str(refused.exception)
