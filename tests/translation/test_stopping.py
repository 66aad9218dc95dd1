"""A run told to stop leaves a checkpoint, and goes on from there as if nothing had happened."""

from __future__ import annotations

import dataclasses
import json
import signal
import textwrap
from pathlib import Path

import attempts
import pytest
import small_translation as small
import torch
from attempts import Payload

from plugins.contracts.job import Stopped
from plugins.translation import train
from plugins.translation.checkpoints import LAST, PREVIOUS, newest_readable
from study import data
from study.grid.reading import load
from study.runs.run import open_folder

pytestmark = pytest.mark.train

DATA = """
    import os, shutil
    from plugins.contracts.dataset import Card
    SOURCES = ()
    CARD = Card(**{card})
    def prepare(sources, out, progress):
        shutil.copytree(os.environ["NUMBERS"], out, dirs_exist_ok=True)
        return {{"items": {{"train": 300}}}}
"""
GRID = """
task: translation
recipe:
  {data: numbers, encoder_layers: 1, decoder_layers: 1, width: 32, ffn_width: 32, heads: 4,
   epochs: 2, tokens_per_batch: 20, learning_rate: 0.01, warmup_updates: 10, beam: 2,
   evaluation_sentences: 12}
product: {mechanism: ["0111"], sites: [self]}
"""


@pytest.fixture
def run(numbers, tmp_path, monkeypatch):
    """A run on the numbers, installed as a third party's data set."""
    site = tmp_path / "site"
    info = site / "numbersdata-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numbersdata\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[study.datasets]\nnumbers = numbersdata\n")
    card = {
        "task": "translation", "content": "numbers", "licence": "none", "unit": "pairs",
        "benchmark": "anything", "composed": True, "in_domain": True, "packages": (),
        "notes": (), "splits": ("train",),
    }  # fmt: skip
    (site / "numbersdata.py").write_text(textwrap.dedent(DATA.format(card=card)))
    monkeypatch.setenv("NUMBERS", str(numbers))
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # which many a user has to set
    monkeypatch.syspath_prepend(site)
    data.prepare(["numbers"])
    grid = tmp_path / "grid.yaml"
    grid.write_text(GRID)
    return load(grid).runs()[0]


def test_told_to_stop_and_resumed_equals_undisturbed_and_repeats_nothing(run, tmp_path):
    expected = open_folder(run, tmp_path / "undisturbed")
    attempts.finish(expected.path)
    disturbed = open_folder(run, tmp_path / "disturbed")
    checkpoints = disturbed.path / "checkpoints"
    assert attempts.stop(disturbed.path, 0, signal.SIGUSR2) == "timeout"
    (newest,) = checkpoints.iterdir()
    assert newest.name.startswith("checkpoint_1_")
    payload = Payload(tmp_path / "executed")
    torch.save({"args": None, "model": payload}, checkpoints / "checkpoint_9_999.pt")
    attempts.finish(disturbed.path)
    assert not payload.path.exists()
    attempts.assert_equal(disturbed, expected)
    assert attempts.steps(disturbed) == attempts.steps(expected)
    assert f"Loaded checkpoint {newest}" in (disturbed.path / "train.log").read_text()
    assert {path.name for path in checkpoints.iterdir()} == {
        LAST, PREVIOUS, "unreadable_checkpoint_9_999.pt"
    }  # fmt: skip


def test_stopped_after_any_update_even_an_epochs_last(numbers, tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    train.train(small.job(whole, numbers, epochs=2))
    an_epoch = next(step for split, step in _places(whole) if split == "val")
    done = 0
    # The meters of the log are partly filled, have just been emptied, or an epoch ends.
    for update in (7, 10, an_epoch, an_epoch + 3):
        job = small.job(folder, numbers, epochs=2)
        with pytest.raises(Stopped):
            train.train(dataclasses.replace(job, stopping=_after(update - done)))
        newest, done = newest_readable(folder / "checkpoints"), update
        within = f"checkpoint_{1 + update // an_epoch}_{update}.pt"
        assert newest.name == (LAST if update == an_epoch else within)
        assert ("val", an_epoch) not in _places(folder)[:-1]
    assert _places(folder)[-1] == ("val", an_epoch)  # made by the attempt after
    newest.write_bytes(attempts.torn(newest.read_bytes(), "cut"))
    train.train(small.job(folder, numbers, epochs=2))
    log = (folder / "train.log").read_text()
    assert f"{newest.name} cannot be read" in log
    assert f"Loaded checkpoint {newest.with_name(LAST)}" in log
    assert (folder / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def _places(folder: Path) -> list[tuple[str, int]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [(line["split"], line["step"]) for line in map(json.loads, lines)]


def test_a_checkpoint_is_read_without_executing_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    payload = Payload(tmp_path / "executed")
    assert payload.works()
    torch.save({"args": None, "model": payload}, tmp_path / LAST)
    assert newest_readable(tmp_path) is None
    assert not payload.path.exists()
    assert (tmp_path / f"unreadable_{LAST}").exists()


def _after(updates: int):
    """Whether to stop: asked after each update, and once more when a checkpoint is saved."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= updates
