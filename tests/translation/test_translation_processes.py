"""Two processes train what one trains."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import shared_run
import torch

from plugins.translation.checkpoints import LAST, PREVIOUS

pytestmark = pytest.mark.train


def lines(folder: Path) -> list[dict]:
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def places(folder: Path) -> set[tuple]:
    return {(line["split"], line["step"], line["epoch"], "BLEU" in line) for line in lines(folder)}


def test_two_processes_killed_and_resumed_train_what_one_trains(numbers, start, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    shared_run.run(alone, numbers)
    first_epoch = next(line["step"] for line in lines(alone) if line["split"] == "val")
    killed = start(2, shared_run.__file__, together, numbers, first_epoch + 1)
    deadline = time.monotonic() + 200
    while max((line["step"] for line in lines(together)), default=0) <= first_epoch:
        assert time.monotonic() < deadline
        assert killed[0].poll() is None, killed[0].path.read_text()
        time.sleep(0.05)
    killed.kill()
    halves = [torch.load(together / f"gradients-{rank}.pt") for rank in (0, 1)]
    start(2, shared_run.__file__, together, numbers).succeed()

    # fairseq divides the sum of all gradients by the sum of target tokens; with the same sentences
    # that is the same number, in whatever batches and on whatever process they are.
    expected, sentences = torch.load(alone / "gradients-0.pt")
    assert [sum(pair) for pair in zip(halves[0][1], halves[1][1], strict=True)] == sentences
    assert 0 in halves[1][1]
    for update, whole in enumerate(expected):
        largest = max(gradient.abs().max() for gradient in whole.values()).item()
        for gradients, _ in halves:
            for name, gradient in whole.items():
                torch.testing.assert_close(
                    gradients[update][name], gradient, rtol=0, atol=1e-5 * largest
                )
    (untrained, first), (expected_untrained, expected_first) = (
        lines(folder)[:2] for folder in (together, alone)
    )
    assert untrained == expected_untrained
    assert first["loss"] == pytest.approx(expected_first["loss"], rel=1e-5)

    # What was done twice is recorded twice, and equal; everything else once.
    assert places(together) == places(alone)
    assert len({json.dumps(line) for line in lines(together)}) == len(places(together))
    assert sum(line["split"] == "untrained" for line in lines(together)) == 1
    assert {p.name for p in (together / "checkpoints").iterdir()} == {LAST, PREVIOUS}
    log = (together / "train.log").read_text()
    assert log.count("Loaded checkpoint") == 1
    assert log.count("begin training epoch 1\n") == 1
