"""A translation model that is compiled learns the same, up to rounding."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import small_translation as small
import torch

from plugins.contracts.job import Stopped
from plugins.translation import train
from plugins.translation.arguments import fairseq_arguments
from plugins.translation.checkpoints import LAST

pytestmark = pytest.mark.train
OPTIONS = {"updates": 12, "mechanism": "1000", "sites": ("cross",), "compile": True, "dropout": 0}


def losses(job):
    return [line["loss"] for line in job.recorded("train")]


@pytest.fixture(scope="module", autouse=True)
def _quick_compiler():
    """Trace and differentiate as torch.compile does, and run what comes of it without C++."""
    quick = functools.partialmethod(torch.nn.Module.compile, backend="aot_eager")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "compile", quick)
        yield


@pytest.fixture(scope="module")
def compiled(numbers, _quick_compiler, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    job = small.job(folder, numbers, **OPTIONS)
    train.train(job)
    return job


def test_a_compiled_model_learns_and_evaluates_the_same(numbers, compiled, tmp_path):
    plain = small.job(tmp_path, numbers, **OPTIONS | {"compile": False})
    train.train(plain)
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-4)
    ours, theirs = compiled.recorded("val")[-1], plain.recorded("val")[-1]
    assert ours["perplexity"] == pytest.approx(theirs["perplexity"], rel=1e-3)
    files = [job.folder / "checkpoints" / LAST for job in (compiled, plain)]
    ours, theirs = (torch.load(file, weights_only=True)["model"] for file in files)
    assert list(ours) == list(theirs)
    # The weights of a compiled run are weights like others.
    assert train.evaluate(plain, files[0])["perplexity"] == pytest.approx(
        compiled.recorded("val")[-1]["perplexity"], rel=1e-5
    )


def test_a_run_that_was_stopped_ends_like_an_undisturbed_one(numbers, compiled, tmp_path):
    asked = iter(range(100))
    job = small.job(tmp_path, numbers, **OPTIONS)
    with pytest.raises(Stopped):
        train.train(dataclasses.replace(job, stopping=lambda: next(asked) >= 5))
    job = small.job(tmp_path, numbers, **OPTIONS)
    train.train(job)
    assert job.recorded("val")[-1] == compiled.recorded("val")[-1]


def test_batches_are_made_beside_a_gpu_and_not_beside_a_cpu(numbers, tmp_path):
    job = small.job(tmp_path, numbers)
    for device, workers in (("cpu", "0"), ("cuda", "1")):
        arguments = fairseq_arguments(dataclasses.replace(job, device=device))
        assert arguments[arguments.index("--num-workers") + 1] == workers
