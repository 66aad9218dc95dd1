"""The options that may speed a training up change nothing but the time, up to rounding."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import subprocess
import sys

import few_steps
import pytest
import torch
from mmdet.models.dense_heads import RPNHead
from mmengine.structures import InstanceData

from plugins.contracts.job import Stopped
from plugins.contracts.tasks import find_task
from plugins.openmmlab import training
from plugins.openmmlab.checkpoints import read
from plugins.segmentation import train as segmentation

pytestmark = pytest.mark.train

TASKS = ["detection", "segmentation"]  # a classifier has the backbone of a detector
OPTIONS = ["channels_last", "compile"]
ROUNDING = 1e-4


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    few_steps.make_data(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _same_regions():
    """Let the second stage look at fixed regions: which are chosen would hang on roundings."""
    corners = 8.0 * torch.cartesian_prod(torch.arange(5), torch.arange(4))
    boxes = torch.cat([corners, corners + 24], dim=1)

    def regions(self, *outputs, batch_img_metas, **options):
        found = InstanceData(bboxes=boxes, scores=torch.ones(20), labels=torch.zeros(20).long())
        return [found.clone() for _ in batch_img_metas]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RPNHead, "predict_by_feat", regions)
        yield


@pytest.fixture(autouse=True)
def _quick_compiler(monkeypatch):
    """Trace and differentiate as torch.compile does, and run what comes of it without C++."""
    torch.compiler.reset()  # it gives up on code that it has compiled for many models
    quick = functools.partialmethod(torch.nn.Module.compile, backend="aot_eager")
    monkeypatch.setattr(torch.nn.Module, "compile", quick)


@pytest.fixture(scope="module")
def plain(data, _same_regions, tmp_path_factory):
    """The folder of a run of each task, without options."""
    made = {}
    for task in TASKS:
        folder = tmp_path_factory.mktemp(task)
        few_steps.train(task, data, folder, epochs=2)
        made[task] = folder
    return made


def newest(folder):
    (_, path) = sorted((folder / "checkpoints").glob("epoch_?.pth"))
    return path


def weights(folder):
    return read(newest(folder))["state_dict"]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("task", TASKS)
def test_an_option_leads_to_the_same_weights(task, option, data, plain, tmp_path):
    few_steps.train(task, data, tmp_path, epochs=2, **{option: True})
    ours, expected = weights(tmp_path), weights(plain[task])
    assert list(ours) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(
            ours[name], tensor, rtol=ROUNDING, atol=ROUNDING, msg=lambda m, n=name: f"{n}: {m}"
        )
    # Either takes the other's weights.
    for job_options, checkpoint in (({}, newest(tmp_path)), ({option: True}, newest(plain[task]))):
        job = few_steps.job(task, data, tmp_path / f"other{len(job_options)}", **job_options)
        assert find_task(task).evaluate(job, checkpoint)


def test_two_processes_agree_on_the_layout_of_gradients(data, start, tmp_path):
    option = '{"channels_last": true}'
    two = start(2, few_steps.__file__, "segmentation", data, tmp_path / "two", option)
    few_steps.train("segmentation", data, tmp_path / "one")
    two.succeed()
    ours, expected = weights(tmp_path / "two"), weights(tmp_path / "one")
    for name, tensor in expected.items():
        torch.testing.assert_close(ours[name], tensor, rtol=ROUNDING, atol=ROUNDING, msg=name)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_run_that_was_stopped_ends_like_an_undisturbed_one(option, data, tmp_path):
    options = {"epochs": 2, "batch_size": 2, option: True}
    few_steps.train("segmentation", data, tmp_path / "whole", **options)
    job = few_steps.job("segmentation", data, tmp_path / "stopped", **options)
    asked = iter(range(100))
    with pytest.raises(Stopped):
        segmentation.train(dataclasses.replace(job, stopping=lambda: next(asked) >= 3))
    few_steps.train("segmentation", data, tmp_path / "stopped", **options)
    ours, expected = (weights(tmp_path / name) for name in ("stopped", "whole"))
    assert ours.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(ours[name], tensor), name


def test_compiled_code_leads_to_the_same_weights(data, plain, tmp_path, monkeypatch):
    """By torch's own compiler, which writes C++."""
    monkeypatch.undo()
    few_steps.train("segmentation", data, tmp_path, epochs=2, compile=True)
    ours, expected = weights(tmp_path), weights(plain["segmentation"])
    for name, tensor in expected.items():
        torch.testing.assert_close(ours[name], tensor, rtol=ROUNDING, atol=ROUNDING)
    # Something was calculated otherwise.
    assert any(not torch.equal(ours[name], tensor) for name, tensor in expected.items())


def test_what_is_compiled_and_how_the_weights_lie(data, tmp_path, monkeypatch):
    seen, compiled = [], []
    step = training.StoppableLoop.run_iter

    def watched(self, *arguments):
        step(self, *arguments)
        seen.append(self.runner.model.backbone)

    monkeypatch.setattr(training.StoppableLoop, "run_iter", watched)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: compiled.append(self))
    few_steps.train("detection", data, tmp_path, epochs=1, channels_last=True, compile=True)
    weight = seen[0].layer1[0].conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert compiled == seen[:1]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="wants glibc")
def test_freed_memory_is_used_again_without_asking_the_system():
    code = """
import ctypes, resource, sys
from plugins.training import allocator
if sys.argv[1] == "keep":
    assert allocator.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for step in range(4):
    before = faults()
    blocks = [libc.malloc(1 << 20) for _ in range(100)]
    for block in blocks:
        ctypes.memset(block, 1, 1 << 20)
    for block in blocks:
        libc.free(block)
print(faults() - before)
"""
    faults = {}
    for word in ("keep", "give back"):
        done = subprocess.run(
            [sys.executable, "-c", code, word], capture_output=True, text=True, check=True
        )
        faults[word] = int(done.stdout)
    assert faults["give back"] > 10 * faults["keep"] + 1000
