"""The benchmark: what it compares, how it measures, what it writes."""

from __future__ import annotations

import itertools
import math

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from analysis.figures.bars import draw
from plugins.attention.core.word import TERM_SETS
from study.benchmarks.cases import WRONG_IN_MMCV, Case, all_cases, select
from study.benchmarks.devices.memory import in_fork, peak_growth
from study.benchmarks.on_cpu.goals import goals
from study.benchmarks.on_cpu.rows import Row
from study.benchmarks.on_cpu.timing import CONTROL, Best, Clocks, disturbed, interleave
from study.benchmarks.sides import build
from study.cli import app
from study.errors import StudyError

SAME = [
    case
    for case in all_cases(quick=True)
    if case.reference != "conv"
    and not (case.reference == "mmcv" and case.configuration in WRONG_IN_MMCV)
]


@pytest.mark.parametrize("case", SAME, ids=lambda case: case.name)
def test_both_sides_compute_the_same(case):
    ours, theirs = (build(case, side, torch.float64) for side in ("ours", "reference"))
    results = []
    for side in (ours, theirs):
        side.step()
        results.append((side.module(side.x), side.x.grad))
    for mine, other in zip(*results, strict=True):
        if case.reference == "fairseq":
            other = other.transpose(0, 1)
        # fairseq's softmax is in single precision whatever it is given.
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_every_configuration_meets_mmcv_and_is_on_a_square_map_where_mmcv_needs_one():
    cases = select(all_cases(quick=False), "mmcv [01]")
    assert len(cases) == 16 * 4
    for setting in ("conv4/1", "conv4/2", "conv5/1", "conv5/2"):
        own = {case.configuration: case for case in cases if case.setting == setting}
        assert tuple(own) == TERM_SETS
        area = math.prod(own["1111"].shape[2:])
        for terms, case in own.items():
            height, width = case.shape[2:]
            assert (height == width) == (terms in WRONG_IN_MMCV)
            assert height * width == pytest.approx(area, rel=0.03)


def test_calls_take_turns_and_count_with_their_fastest_round():
    now, order = {"wall": 0.0, "cpu": 0.0}, []
    durations = {"a": iter([5.0, 2.0, 3.0]), "b": iter([4.0, 6.0, 1.0])}

    def call(name):
        def run():
            order.append(name)
            taken = next(durations[name])
            now["wall"] += taken
            now["cpu"] += taken / 2 + len(order)  # the least of this is not asked for

        return run

    clocks = Clocks(wall=lambda: now["wall"], cpu=lambda: now["cpu"])
    best, rounds = interleave({"a": call("a"), "b": call("b")}, 3, 0.0, clocks)
    assert "".join(order) == "ababab"
    assert rounds == 3
    assert best == {"a": Best(2.0, 1.0 + 3), "b": Best(1.0, 0.5 + 6)}


def test_fast_calls_get_rounds_until_the_time_is_up():
    ticks = itertools.count()  # each look at the clock is a second: a call takes one
    clocks = Clocks(wall=lambda: float(next(ticks)), cpu=lambda: 0.0)
    _, rounds = interleave({"a": lambda: None, "b": lambda: None}, 2, 9.5, clocks)
    assert rounds == 5


@pytest.mark.parametrize(
    ("control", "call", "threads", "expected"),
    [
        (Best(1.0, 1.0), Best(3.0, 2.95), 1, False),
        (Best(1.0, 2.0), Best(3.0, 3.5), 2, False),  # half of the call is serial
        (Best(1.0, 1.2), Best(3.0, 6.0), 2, True),  # the control waited for a core
        (Best(1.4, 2.8), Best(3.0, 6.0), 2, True),  # its cores were slow
        (Best(1.0, 1.0), Best(3.0, 2.0), 1, True),  # the call waited
        (Best(1.0, 1.0), Best(3.0, 6.0), 1, True),  # the call had more threads than it should
    ],
)
def test_a_machine_that_does_something_else_is_noticed(control, call, threads, expected):
    assert disturbed({CONTROL: control, "ours": call}, threads, fastest_control=1.0) is expected


def test_peak_memory_is_what_the_call_holds_at_once():
    size = 64 * 2**20

    def twice():
        for _ in range(2):  # one after the other: the first is gone when the second comes
            b"x" * size

    def measure():
        kept = b"y" * size  # there before, and not counted
        return peak_growth(twice) if kept else 0

    assert in_fork(measure) == pytest.approx(size, rel=0.1)


def test_a_failing_measurement_is_an_error_here():
    with pytest.raises(RuntimeError, match="status"):
        in_fork(lambda: 1 // 0)


def row(case, speedup, memory_ratio=10, pass_="forward+backward"):
    times = {"ours": Best(1.0, 1.0), "reference": Best(speedup, speedup), CONTROL: Best(1.0, 1.0)}
    peaks = {"ours": 1, "reference": memory_ratio}
    return Row(case, pass_, 1, 2, times, False, peaks, 1)


def test_goals_take_the_mean_of_all_sixteen_and_the_worst_of_each():
    cases = select(all_cases(quick=False), "mmcv [01]*conv4/1")
    rows = [row(case, 16.0 if case.configuration.startswith("0") else 2.0) for case in cases]
    found = {goal.what: goal for goal in goals(rows)}
    speed = next(goal for what, goal in found.items() if "mean of the 16" in what)
    assert (speed.found, speed.met) == ("5.66", True)  # the square root of 2 * 16
    assert found["no configuration slower than mmcv's, step, stride 1"].met
    assert found["0001: 12 times mmcv's speed, step, stride 1"].met
    rows[3] = row(rows[3].case, 0.9)
    worst = {goal.what: goal for goal in goals(rows)}[
        "no configuration slower than mmcv's, step, stride 1"
    ]
    assert not worst.met
    assert worst.found.startswith("0.90, 0011 conv4/1")
    assert not any("mean" in goal.what for goal in goals(rows[1:]))


def test_quick_run_writes_every_case_and_its_ratios(tmp_path):
    result = CliRunner().invoke(
        app, ["bench", "attention", "--quick", "--threads", "1", "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    tables = [line for line in result.stdout.splitlines() if str(tmp_path) not in line]
    assert max(map(len, tables)) <= 100
    frame = pd.read_csv(tmp_path / "attention-quick.csv", dtype={"configuration": str})
    expected = {
        (case.reference, case.configuration, case.kv_stride, pass_)
        for case in all_cases(quick=True)
        for pass_ in ("forward", "forward+backward")
    }
    keys = frame[["reference", "configuration", "kv_stride", "pass"]]
    assert set(keys.itertuples(index=False, name=None)) == expected
    assert len(frame) == len(expected)
    numbers = frame.select_dtypes("number")
    assert (numbers > 0).all(axis=None)
    assert (numbers < math.inf).all(axis=None)
    assert (frame["threads"] == 1).all()
    assert (
        frame["speedup"].tolist() == (frame["reference_seconds"] / frame["ours_seconds"]).tolist()
    )
    ratio = frame["reference_bytes"] / frame["ours_bytes"]
    assert frame["memory_ratio"].tolist() == ratio.tolist()
    assert frame["torch"].eq(torch.__version__).all()
    for suffix in ("png", "svg"):
        assert (tmp_path / f"attention-quick.{suffix}").stat().st_size > 10_000
    first = (tmp_path / "attention-quick.svg").read_bytes()
    draw(tmp_path / "attention-quick.csv")
    assert (tmp_path / "attention-quick.svg").read_bytes() == first


def test_an_unknown_case_is_answered_with_those_there_are():
    result = CliRunner().invoke(app, ["bench", "attention", "--only", "flash"])
    assert isinstance(result.exception, StudyError)
    assert "mmcv 0000 conv4/1" in str(result.exception)


def test_a_case_survives_the_way_to_its_process():
    case = Case("mmcv", "0110", "conv4", (1, 256, 65, 65), 2)
    assert Case.from_json(case.to_json()) == case
