"""Both sides of the benchmark answer the same, and each row says what was measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn
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


@pytest.mark.parametrize(
    "word", ["question single", "question bilinear", "phrase bilinear:dropout=true"]
)
def test_each_side_reads_boxes_as_often_as_it_says(word):
    case = Case(*word.split(" "))
    recipe = load(GRIDS / questions.GRIDS[case.unit]).recipe | QUICK
    model, batch = made(case, recipe, "cpu")
    rows = []
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer.in_features == QUICK["feature_channels"]:
            layer.register_forward_hook(lambda _, inputs, out: rows.append(len(inputs[0])))
    each = EACH[case.unit]
    for kind in questions.PASSES * 2:
        calls = questions.sides(model, batch, case.unit, kind)
        for side, expected in (
            ("shared", [IMAGES]), ("copied", [IMAGES * each]), ("one_by_one", [IMAGES] * each)
        ):  # fmt: skip
            rows.clear()
            calls[side]()
            assert sorted(set(rows)) == sorted(set(expected)), (kind, side)
            assert len(rows) % len(expected) == 0
        assert model.training == (kind != "forward")


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
