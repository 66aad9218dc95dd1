"""Which GPUs there are: as nvidia-smi and CUDA_VISIBLE_DEVICES say, never a silent CPU instead."""

import os
import re

import pytest

from study.errors import StudyError
from study.launch import gpus
from study.launch.gpus import gpu_names, listed_gpus, visible_gpus

from .conftest import study

LINES = [f"GPU {number}: NVIDIA A100-SXM4-80GB (UUID: GPU-{number})" for number in range(3)]
LOST = "Unable to determine the device handle for GPU0000:3B:00.0: Unknown Error"


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Return a function that puts an nvidia-smi on the path."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def write(*lines, code=0, err="", body=""):
        folder = tmp_path / "smi"
        folder.mkdir(exist_ok=True)
        told = "".join(f"echo '{line}'\n" for line in lines)
        told += f"echo '{err}' >&2\n" if err else ""
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{body}\n{told}exit {code}\n")
        (folder / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return write


def test_without_nvidia_smi_there_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []
    assert gpu_names() == []


def test_numbers_are_those_of_the_lines(smi):
    smi(LINES[0], LINES[2])
    assert visible_gpus() == ["0", "2"]


@pytest.mark.parametrize("code", [0, 15])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_gpu_without_a_handle_is_left_out_and_told(smi, code, stream):
    if stream == "stdout":
        smi(LINES[0], LOST, LINES[2], code=code)
    else:
        smi(LINES[0], LINES[2], err=LOST, code=code)
    listing = listed_gpus()
    assert listing.names == ["0", "2"]
    assert listing.notes == (f"a GPU is left out: nvidia-smi says: {LOST}",)


def test_of_a_divided_gpu_the_parts_are_named(smi):
    part = "  MIG 1g.10gb     Device  {0}: (UUID: MIG-aa-{0})"
    smi(LINES[0], part.format(0), part.format(1), LINES[1])
    assert visible_gpus() == ["MIG-aa-0", "MIG-aa-1", "1"]


@pytest.mark.parametrize(
    ("lines", "code", "err", "words"),
    [
        ([], 18, "Failed to initialize NVML: Driver/library version mismatch", "version mismatch"),
        (["Failed to initialize NVML: Unknown Error"], 9, "", "NVML: Unknown Error.*exit code 9"),
        (["No devices found."], 0, "", "No devices found"),
        ([], 0, "", "lists no GPU"),
        ([LOST], 0, "", "lists no GPU: .*device handle"),
        ([LINES[0]], 3, "", "exit code 3, after 1 GPUs"),
        (["GPU 0: fine", "what is this"], 0, "", "says 'what is this'"),
    ],
)
def test_what_fails_or_is_not_understood_is_an_error_with_a_way_out(smi, lines, code, err, words):
    smi(*lines, code=code, err=err)
    with pytest.raises(StudyError, match=words) as raised:
        visible_gpus()
    assert "--device cpu" in str(raised.value)


def test_one_that_hangs_is_not_waited_for(smi, monkeypatch):
    smi(body="exec sleep 60")
    monkeypatch.setattr(gpus, "SECONDS", 0.2)
    for ask in (visible_gpus, gpu_names):
        with pytest.raises(StudyError, match=r"no answer within 0\.2 s.*--device cpu"):
            ask()


def test_names_are_asked_for_with_the_same_care(smi):
    smi("NVIDIA A100-SXM4-80GB", "NVIDIA T4")
    assert gpu_names() == ["NVIDIA A100-SXM4-80GB", "NVIDIA T4"]
    smi(code=9, err="Failed to initialize NVML")
    with pytest.raises(StudyError, match="exit code 9: Failed to initialize NVML"):
        gpu_names()


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        *(("", []), (" ", []), ("-1", []), ("NoDevFiles", []), ("none", []), ("void", [])),
        *(("0", ["0"]), ("3,1", ["3", "1"]), (" 0 , 1 ", ["0", "1"]), ("0,1,", ["0", "1"])),
        *(("0,-1,1", ["0"]), ("GPU-8a,GPU-8b", ["GPU-8a", "GPU-8b"]), ("MIG-1/2", ["MIG-1/2"])),
    ],
)
def test_the_variable_names_what_cuda_takes(monkeypatch, chosen, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_gpus() == names


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("all", "does not understand 'all'"),
        ("0,,1", "does not understand ''"),
        (",0", "does not understand ''"),
        ("0,0", "0 is there twice"),
        ("GPU-8a,GPU-8a", "GPU-8a is there twice"),
        ("0,GPU-8a", "numbers or ids, not both"),
        ("1gpu2", "does not understand '1gpu2'"),
        ("-2", "does not understand '-2'"),
        ("cuda:0", "does not understand 'cuda:0'"),
        ("0;1", "does not understand '0;1'"),
        ("²", "does not understand"),
    ],
)
def test_what_cuda_would_take_otherwise_than_meant_is_refused(monkeypatch, chosen, words):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    with pytest.raises(StudyError, match=re.escape(f"CUDA_VISIBLE_DEVICES={chosen}: ")) as raised:
        visible_gpus()
    assert words in str(raised.value)


def test_a_run_is_refused_where_they_cannot_be_told_and_trains_where_the_cpu_is_asked_for(
    toy, smi, tmp_path
):
    smi(code=18, err="Failed to initialize NVML: Driver/library version mismatch")
    grid = toy("task: toy\nproduct: {mechanism: [none]}\n")
    refused = study("run", grid)
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert "error: nvidia-smi -L says 'Failed to initialize NVML: Driver" in refused.stderr
    assert study("run", grid, "--device", "cpu").returncode == 0


def test_a_gpu_that_is_asked_for_and_not_listed_is_refused(toy, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    refused = study("run", toy("task: toy\nproduct: {mechanism: [none]}\n"), "--device", "cuda")
    assert refused.returncode == 2
    assert "error: --device cuda: no GPU is listed here" in refused.stderr
