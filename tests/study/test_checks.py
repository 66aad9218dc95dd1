"""What ``study doctor`` makes of a trial of the GPU's kernels."""

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
