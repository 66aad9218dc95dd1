"""What a step gives a device to do is counted rightly, in the forms of a GPU."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from study.benchmarks.cases import Case
from study.benchmarks.launches import launches, worker
from study.benchmarks.launches.counting import Step, count
from study.cli import app


def test_views_and_empty_memory_are_free_and_saved_bytes_are_each_counted_once():
    x = torch.randn(8, 4, requires_grad=True)
    weight = torch.randn(4, 4, requires_grad=True)

    def forward():
        torch.empty(100)
        product = x @ weight  # keeps both factors, which are there anyway
        grown = product.exp()  # keeps its result
        return (grown.view(4, 8) * grown.view(4, 8)).flatten()  # keeps the same memory twice

    step = count(forward, torch.ones(32), [x, weight])
    assert (step.forward, step.saved, step.reads) == (3, 8 * 4 * 4, 0)
    # Two products, their sum, that with the exponential, and a product for each factor.
    assert step.backward == 6


def test_values_that_the_host_reads_and_constants_that_it_makes_are_counted():
    x = torch.ones(3, requires_grad=True)

    def forward():
        limit = torch.tensor([1.0, 2.0, 3.0])  # on a GPU a copy
        return x * limit if bool(limit.sum() > 0) else x  # sum, comparison, reading, product

    assert count(forward, torch.ones(3), [x]) == Step(forward=5, backward=1, reads=1, saved=12)


@pytest.mark.parametrize(
    ("configuration", "shape"),
    [("1111", (2, 16, 6, 7)), ("1111", (2, 9, 16)), ("dynamic-7", (2, 90, 16))],
)
def test_ours_is_counted_in_the_forms_of_a_gpu(configuration, shape):
    case = Case("mmcv", configuration, "small", shape, 1, precision="float32")
    ours = [worker._count(case, "ours") for _ in range(2)]
    assert ours[0] == ours[1]
    side = worker.step_of(case, "ours", "cpu")
    for _ in range(2):
        side.forget()
        on_cpu = count(lambda: side.module(side.x), side.seed, [])
    assert ours[0].forward < on_cpu.forward or ours[0].backward < on_cpu.backward
    assert ours[0].reads == 0


def test_a_dense_form_keeps_the_weights_of_every_pair_and_ours_does_not():
    pairs = 8 * 20 * 24 * 20 * 24
    case = Case("dense-form", "1000", "small", (1, 32, 20, 24), 1, precision="float32")
    (found,) = worker.measure([case])
    assert found["dense-form"]["saved"] > 4 * pairs > found["ours"]["saved"]


class InThisProcess:
    """Stands in for the counting process."""

    def __init__(self, function):
        assert function == "study.benchmarks.launches.worker:serve"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def tell(self, cases):
        self.answers = worker.measure([Case.from_json(fields) for fields in cases])

    def hear(self):
        return next(self.answers)


def test_the_command_writes_a_row_for_each_side(tmp_path, monkeypatch):
    monkeypatch.setattr(launches, "Child", InThisProcess)
    result = CliRunner().invoke(
        app, ["bench", "launches", "--quick", "--only", "1000 T=8 ", "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output or result.exception
    frame = pd.read_csv(tmp_path / "launches-quick-part.csv")
    assert frame["side"].tolist() == ["ours", "dense-form", "fairseq"] * 2
    assert frame["causal"].tolist() == [False] * 3 + [True] * 3
    counted = frame[["forward_operators", "backward_operators", "saved_bytes"]]
    assert (counted > 0).all(axis=None)
    assert str(frame["forward_operators"][0]) in result.output
