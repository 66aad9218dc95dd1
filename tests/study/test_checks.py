"""What ``study doctor`` makes of the GPU's kernels and of operators, and what it advises."""

import pytest

from study.commands import checks

TRIAL = {
    "device": "A GPU",
    "kernel": True,
    "deviations": {"float32": 2e-6, "bfloat16": 4e-3},
    "largest": {"float32": 1e-5, "bfloat16": 2e-2},
}


def test_kernels_that_agree_are_said_to():
    check = checks.kernel_check("attention", **TRIAL)
    assert check.ok
    assert check.found == "A GPU: fused kernels; off by float32 2e-06, bfloat16 4e-03 at most"


def test_a_kernel_that_deviates_is_a_fault_with_a_way_around_it():
    wrong = TRIAL | {"deviations": {"float32": 2e-4, "bfloat16": 4e-3}}
    check = checks.kernel_check("attention", **wrong)
    assert not check.ok
    assert "STUDY_FUSED=0" in check.remedy


def test_numbers_that_are_none_are_a_fault():
    wrong = TRIAL | {"deviations": {"float32": float("nan")}}
    assert not checks.kernel_check("attention", **wrong).ok


def test_a_gpu_that_cannot_be_used_is_told(monkeypatch):
    monkeypatch.setattr(checks, "visible_gpus", lambda: ["0"])
    (check,) = checks._kernels()  # there is none in truth
    assert not check.ok
    assert "CUDA" in check.found


def test_without_a_gpu_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(checks, "visible_gpus", lambda: [])
    assert checks._kernels() == []


@pytest.mark.parametrize(
    ("version", "gpu", "ok"),
    [("13.0", True, True), ("13.0", False, True), (None, False, True), (None, True, False)],
)
def test_operators_without_cuda_are_a_fault_where_there_is_a_gpu(version, gpu, ok):
    check = checks.operators_check(version, gpu)
    assert check.ok is ok
    assert check.found == ("compiled with CUDA 13.0" if version else "compiled for CPUs alone")


def test_what_it_advises_for_a_set_from_a_copy_is_a_whole_command(monkeypatch, tmp_path):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    advised = {check.what: check.remedy for check in checks._data()}
    assert advised["data coco"] == "study data prepare coco --from YOUR_COPY"
    assert advised["data trees"] == "study data prepare trees"
