"""The device that was asked for is the one that calculates, for every task, or nothing does."""

import json
import os
import sys
import types

import pytest

from study.errors import StudyError
from study.launch.local import launcher
from study.launch.local.slots import Slots
from study.runs.folder import iter_runs
from study.worker import device

from .conftest import study

GRID = "task: toy\nproduct: {mechanism: [none]}\n"


class Recipe:
    precision = "float16"


@pytest.fixture
def torch(monkeypatch):
    """Return a function that stands in for torch on another machine."""

    def make(names=("NVIDIA T4", "NVIDIA A100"), cuda="12.8", error=None):
        def name(number):
            if error:
                raise error
            return names[number]

        module = types.ModuleType("torch")
        module.__version__ = "2.13.0" if cuda else "2.13.0+cpu"
        module.version = types.SimpleNamespace(cuda=cuda, hip=None)
        module.cuda = types.SimpleNamespace(
            is_available=lambda: True, device_count=lambda: len(names), get_device_name=name
        )
        monkeypatch.setitem(sys.modules, "torch", module)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    return make


def test_the_gpu_of_this_process_is_named(torch, monkeypatch):
    torch()
    assert device.use("cuda", Recipe()) == "NVIDIA T4"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device.use("cuda") == "NVIDIA A100"
    monkeypatch.setenv("LOCAL_RANK", "2")  # with one GPU shown to each process
    assert device.use("cuda") == "NVIDIA T4"


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"cuda": None}, r"torch 2\.13\.0\+cpu is built without CUDA"),
        ({"names": ()}, "torch finds no GPU with CUDA_VISIBLE_DEVICES=0,1"),
        ({"error": RuntimeError("driver too old\nmore")}, "cannot use the GPU: driver too old"),
        ({"error": AssertionError("not compiled")}, "cannot use the GPU: not compiled"),
    ],
)
def test_without_it_nothing_begins(torch, machine, words):
    torch(**machine)
    with pytest.raises(StudyError, match=words) as raised:
        device.use("cuda")
    assert "--device cpu" in str(raised.value)


def test_a_cpu_hides_the_gpus_and_has_no_half_precision(torch):
    torch()
    assert device.use("cpu") is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    with pytest.raises(StudyError, match="precision float16 needs a GPU; a CPU has bfloat16"):
        device.use("cpu", Recipe())
    with pytest.raises(StudyError, match="the devices are cpu and cuda"):
        device.use("gpu")


def test_a_listed_gpu_that_torch_cannot_use_fails_the_run_of_any_task(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    done = study("run", toy(GRID))
    assert done.returncode == 1
    assert "the device is cuda, but torch" in done.stdout
    (folder,) = iter_runs(tmp_path / "runs")
    assert folder.attempts[0].exit["cause"] == "failed"
    assert (folder.provenance, folder.result, folder.metrics) == (None, None, [])
    assert study("run", toy(GRID), "--device", "cpu").returncode == 0
    assert (folder.provenance["device"], folder.provenance["gpu"]) == ("cpu", None)


def test_a_task_with_half_precision_wants_a_gpu(toy, tmp_path):
    module = tmp_path / "site/toytask/task.py"
    module.write_text(
        module.read_text().replace(
            'failing: str = ""', 'failing: str = ""\n    precision: str = ""'
        )
    )
    done = study("run", toy(f"{GRID}recipe: {{precision: float16}}\n"))
    assert done.returncode == 1
    assert "precision float16 needs a GPU; a CPU has bfloat16 and float32" in done.stdout


def test_the_doctor_compares_the_list_with_torch(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    answers = {}
    monkeypatch.setattr(launcher, "ask", lambda *given, **options: answers["found"])

    def line():
        (check,) = (each for each in launcher.LocalLauncher().checks() if each.what == "GPUs")
        return check

    answers["found"] = ["A100", "A100"]
    assert (line().ok, line().found) == (True, "2: 0, 1")
    answers["found"] = ["A100"]
    assert (line().ok, line().found) == (False, "2: 0, 1; torch can use 1 of them")
    assert not line().optional

    def refuse(*given, **options):
        raise StudyError("the device is cuda, but torch finds no GPU")

    monkeypatch.setattr(launcher, "ask", refuse)
    assert (line().ok, line().found) == (False, "the device is cuda, but torch finds no GPU")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "all")
    assert "does not understand 'all'" in line().found


def test_numbers_of_nvidia_smi_are_those_of_cuda(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert Slots(1, ["0"]).environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert "CUDA_DEVICE_ORDER" not in Slots(1, []).environment


def test_the_records_of_a_run_say_what_it_ran_on(toy, tmp_path):
    assert study("run", toy(GRID)).returncode == 0
    (folder,) = iter_runs(tmp_path / "runs")
    record = json.loads((folder.path / "provenance.json").read_text())
    assert (record["device"], record["gpu"], record["threads"]) == (
        *("cpu", None),
        len(os.sched_getaffinity(0)),
    )
