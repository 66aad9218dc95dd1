"""The attention modules on a GPU: what is compared, what a cut or failing measurement leaves."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from plugins.attention.core.word import TERM_SETS
from study.benchmarks.cases import WRONG_IN_MMCV, Case
from study.benchmarks.devices.cpu import Cpu
from study.benchmarks.devices.device import CaptureFails, Launched
from study.benchmarks.on_cuda import attention, worker
from study.benchmarks.on_cuda.cases import gpu_cases, settings
from study.benchmarks.sides import build
from study.cli import app
from study.errors import StudyError

SAME = [
    case
    for case in gpu_cases(quick=True, flex=False)
    if case.precision == "bfloat16" and case.reference in ("dense-form", "fairseq")
]


@pytest.mark.parametrize("case", SAME, ids=lambda case: case.name)
def test_both_sides_compute_the_same(case):
    results = []
    for name in ("ours", "reference"):
        side = build(case, name, torch.float64)
        side.step()
        results.append((side.module(side.x), side.x.grad))
    for mine, other in zip(*results, strict=True):
        if case.reference == "fairseq":
            other = other.transpose(0, 1)
        # fairseq's softmax is in single precision whatever it is given.
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("terms", ["0011", "0110", "1111"])
def test_flex_attention_computes_the_same(terms):
    case = Case("flex", terms, "small", (2, 16, 5, 6), 2)
    ours, flex = (build(case, side, torch.float64) for side in ("ours", "reference"))
    with torch.no_grad():  # torch has no backward pass for it on a CPU
        torch.testing.assert_close(flex.module(flex.x), ours.module(ours.x))


def test_every_setting_has_ours_once_and_those_beside_it():
    cases = gpu_cases(quick=False, flex=True)
    assert len({case.name for case in cases}) == len(cases)
    groups = settings(cases)
    maps = [group for group in groups if group[0].place == "conv4" and group[0].kv_stride == 2]
    assert len(maps) == len(TERM_SETS) * 2
    by_name = {f"{g[0].ours} {g[0].precision}": [case.reference for case in g] for g in groups}
    assert by_name["1111 conv4/2 bfloat16"] == ["mmcv", "dense-form", "flex"]
    assert by_name["1000 conv5/1 float32"] == ["mmcv", "dense-form", "sdpa"]
    assert by_name["1000 T=512 causal bfloat16"] == ["dense-form", "fairseq"]
    assert by_name["dynamic-31 T=32 float32"] == ["fairseq"]
    for first, *_ in groups:
        height, width = first.shape[-2:]
        assert (
            len(first.shape) == 3
            or first.configuration == "deformable"
            or ((height == width) == (first.configuration in WRONG_IN_MMCV))
        )


def test_a_side_that_fails_has_a_reason_and_the_others_numbers():
    case = Case("mmcv", "0110", "small", (2, 16, 5, 7), 1, precision="float32")  # not square
    (answers,) = worker.measure([case], Cpu(), 2, 0.0)
    ours, mmcv = answers["ours"], answers["mmcv"]
    assert mmcv["failure"].startswith("step fails: ")
    assert mmcv["eager"] is None
    assert ours["rounds"] == 2
    assert ours["eager"] > 0
    assert ours["failure"] == "capture fails: a CPU launches nothing"
    (mine, theirs) = attention.rows_of([case], answers)
    assert mine.ratio("eager") == 1
    assert theirs.to_csv()["eager_ratio"] is None


class FakeGpu(Cpu):
    """A CPU that says what a GPU would; mmcv's module cannot be captured."""

    name = "NVIDIA H200"

    def graph(self, call):
        module = call.__self__.module
        if type(getattr(module, "module", module)).__module__.startswith("mmcv"):
            raise CaptureFails("Cannot copy between CPU and CUDA tensors")
        return 1e-4

    def launched(self, call):
        return Launched(100, 3)

    def peak(self, call):
        return 1000


class FakeChild:
    """The measuring process, within this one; it is told when the time is up."""

    answers_in_time = 100

    def __init__(self, function):
        assert function == "study.benchmarks.on_cuda.serving:serve"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def tell(self, request):
        device = FakeGpu()
        cases = [Case.from_json(fields) for fields in request["cases"]]
        measured = worker.measure(cases, device, request["rounds"], request["seconds"])
        self.answers = iter([device.name])
        self.measured, self.count = measured, 0

    def hear(self, seconds):
        for name in self.answers:
            return name
        self.count += 1
        if self.count > self.answers_in_time:
            raise TimeoutError
        return next(self.measured)


def measured(tmp_path, *options):
    result = CliRunner().invoke(
        app,
        ["bench", "attention", "--device", "cuda", "--quick", "--out", str(tmp_path), *options],
    )
    assert result.exit_code == 0, result.output or result.exception
    return result.output


def test_a_cut_measurement_leaves_a_valid_table_of_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "Child", FakeChild)
    monkeypatch.setattr(FakeChild, "answers_in_time", 3)
    output = measured(tmp_path, "--limit", "5")
    assert "the time was up after 3 of" in output
    assert not (tmp_path / "attention-nvidia-h200-quick.csv").exists()
    frame = pd.read_csv(
        tmp_path / "attention-nvidia-h200-quick-part.csv", dtype={"configuration": str}
    )
    assert frame["configuration"].unique().tolist() == list(TERM_SETS[:3])
    assert frame["gpu"].unique().tolist() == ["NVIDIA H200"]
    assert (frame[["eager_milliseconds", "peak_bytes", "kernels"]] > 0).all(axis=None)
    mmcv = frame[frame["side"] == "mmcv"].set_index("configuration")
    ours = frame[frame["side"] == "ours"].set_index("configuration")
    assert mmcv["failure"].eq("capture fails: Cannot copy between CPU and CUDA tensors").all()
    assert mmcv["graph_ratio"].isna().all()
    ratio = mmcv["eager_milliseconds"] / ours["eager_milliseconds"]
    assert mmcv["eager_ratio"].tolist() == pytest.approx(ratio.tolist())
    assert "mmcv 0000 small/1 and 2 more: capture fails" in output
    assert (tmp_path / "attention-nvidia-h200-quick-part.svg").stat().st_size > 10_000


def test_a_whole_measurement_takes_the_place_of_its_part(tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "Child", FakeChild)
    few = [case for case in gpu_cases(True, False) if case.reference == "dense-form"][:2]
    monkeypatch.setattr(attention, "gpu_cases", lambda quick, flex: few)
    measured(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == [
        "attention-nvidia-h200-quick.csv"
    ]
    measured(tmp_path, "--only", "dense-form 0001")
    part = pd.read_csv(tmp_path / "attention-nvidia-h200-quick-part.csv")
    assert part["side"].tolist() == ["ours", "dense-form"]


def test_options_of_the_other_device_are_refused(monkeypatch):
    for options in (["--limit", "9"], ["--flex"], ["--device", "cuda", "--threads", "1"]):
        result = CliRunner().invoke(app, ["bench", "attention", *options])
        assert isinstance(result.exception, StudyError)
        assert "is for --device" in str(result.exception)


def test_without_a_gpu_the_command_says_so_in_a_sentence(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    result = CliRunner().invoke(app, ["bench", "attention", "--device", "cuda"])
    assert isinstance(result.exception, StudyError)  # which leaves with exit code 2
    assert "torch finds no GPU on this machine" in str(result.exception)
