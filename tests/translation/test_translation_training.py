"""Training: what is recorded, and that it is the same however often the run is interrupted."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
import small_translation as small
import torch
from fairseq import checkpoint_utils

from plugins.translation import arguments, train
from plugins.translation.checkpoints import LAST, PREVIOUS, newest_readable
from plugins.translation.evaluation import Evaluation

pytestmark = pytest.mark.train


def metrics(folder: Path) -> dict[tuple[str, int], dict]:
    """Return the last line of each split and step."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {(line["split"], line["step"]): line for line in lines}


@pytest.fixture(scope="module")
def undisturbed(numbers, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    torch.set_num_threads(1)
    train.train(small.job(folder, numbers))
    return folder


@pytest.fixture(scope="module")
def killed(numbers, undisturbed, tmp_path_factory) -> Path:
    """A run killed in its last epoch, between two checkpoints."""
    folder = tmp_path_factory.mktemp("killed")
    steps = [step for split, step in metrics(undisturbed) if split == "val"]
    script = Path(__file__).with_name("interrupted_run.py")
    process = subprocess.Popen([sys.executable, script, folder, numbers, str(steps[1] + 5)])
    try:
        for _ in range(600):
            lines = metrics(folder) if (folder / "metrics.jsonl").exists() else {}
            if max([step for split, step in lines if split == "train"], default=0) > steps[1]:
                break
            assert process.poll() is None
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert max(step for _, step in lines) < steps[2]
    return folder


def test_records(undisturbed):
    lines = metrics(undisturbed)
    untrained = lines["untrained", 0]
    vals = [line for (split, _), line in lines.items() if split == "val"]
    losses = [line["loss"] for (split, _), line in lines.items() if split == "train"]
    assert [line["epoch"] for line in vals] == [1, 2, 3]
    assert set(vals[-1]) == {"split", "step", "epoch", "BLEU", "perplexity"}
    assert vals[-1]["perplexity"] < 0.5 * untrained["perplexity"]
    assert vals[-1]["BLEU"] > untrained["BLEU"]
    assert losses[-1] < losses[0]
    steps = [step for split, step in lines if split == "train"]
    assert steps == [1, *range(10, steps[-1] + 1, 10)]


def test_only_log_and_checkpoints_are_written(undisturbed):
    assert {path.name for path in undisturbed.iterdir()} == {
        "metrics.jsonl", "train.log", "checkpoints"
    }  # fmt: skip
    assert {p.name for p in (undisturbed / "checkpoints").iterdir()} == {LAST, PREVIOUS}
    log = (undisturbed / "train.log").read_text()
    assert "fairseq-train" in log
    assert "terms='0111'" in log


def test_the_same_seed_gives_the_same_numbers_twice_in_a_process(numbers, undisturbed, tmp_path):
    train.train(small.job(tmp_path / "other", numbers, "0010", ("cross",), seed=4, epochs=1))
    train.train(small.job(tmp_path / "again", numbers))
    assert metrics(tmp_path / "again") == metrics(undisturbed)
    assert metrics(tmp_path / "other")["untrained", 0] != metrics(undisturbed)["untrained", 0]


def test_the_stock_command_trains_the_same_weights(numbers, undisturbed, tmp_path):
    user_dir = ["--user-dir", str(Path(arguments.__file__).parent)]
    small.fairseq("train", *arguments.fairseq_arguments(small.job(tmp_path, numbers)), *user_dir)
    weights, expected = (
        checkpoint_utils.load_checkpoint_to_cpu(str(folder / "checkpoints" / LAST))["model"]
        for folder in (tmp_path, undisturbed)
    )
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)


def test_a_killed_run_ends_as_an_undisturbed_one(numbers, undisturbed, killed, tmp_path):
    folder = Path(shutil.copytree(killed, tmp_path / "resumed"))
    train.train(small.job(folder, numbers))
    assert metrics(folder) == metrics(undisturbed)
    assert (folder / "train.log").read_text().count("Loaded checkpoint") == 1


def test_a_torn_checkpoint_is_passed_over(numbers, undisturbed, killed, tmp_path):
    folder = Path(shutil.copytree(killed, tmp_path / "torn"))
    last = folder / "checkpoints" / LAST
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    train.train(small.job(folder, numbers))
    assert metrics(folder) == metrics(undisturbed)
    log = (folder / "train.log").read_text()
    assert f"{LAST} cannot be read" in log
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {
        LAST, PREVIOUS, f"unreadable_{LAST}"
    }  # fmt: skip
    assert f"Loaded checkpoint {folder / 'checkpoints' / PREVIOUS}" in log


def test_a_run_stopped_within_an_epoch_goes_on_from_there(
    numbers, undisturbed, tmp_path, monkeypatch
):
    monkeypatch.setattr(arguments, "SAVE_UPDATES", 10)
    job = small.job(tmp_path, numbers)

    def stop(split, **values):
        if values["step"] == 40:
            raise KeyboardInterrupt
        job.record(split, **values)

    with pytest.raises(KeyboardInterrupt):
        train.train(dataclasses.replace(job, record=stop))
    train.train(small.job(tmp_path, numbers))
    assert metrics(tmp_path) == metrics(undisturbed)
    assert "@ 30 updates)" in (tmp_path / "train.log").read_text().split("Loaded checkpoint")[1]


def test_without_a_readable_checkpoint_training_begins(tmp_path):
    assert newest_readable(tmp_path) is None
    (tmp_path / LAST).write_bytes(b"torn")
    assert newest_readable(tmp_path) is None


def test_a_finished_run_is_only_measured_again(numbers, undisturbed, tmp_path):
    folder = Path(shutil.copytree(undisturbed, tmp_path / "finished"))
    before = (folder / "metrics.jsonl").read_text().splitlines()
    train.train(small.job(folder, numbers))
    after = (folder / "metrics.jsonl").read_text().splitlines()
    assert after == [*before, before[-1]]


def test_the_process_is_left_as_it_was(numbers, tmp_path):
    root = logging.getLogger()
    before = root.handlers[:], root.level, warnings.showwarning, warnings.filters[:]
    train.train(small.job(tmp_path, numbers, epochs=1))
    assert before == (root.handlers, root.level, warnings.showwarning, warnings.filters)
    theirs = logging.getLogger("fairseq")
    assert (theirs.handlers, theirs.propagate) == ([], True)
    assert not hasattr(checkpoint_utils.save_checkpoint, "best")


def test_metrics_are_those_of_their_definitions(numbers, undisturbed, tmp_path):
    job = small.job(tmp_path, numbers, evaluation_sentences=None, beam=1)
    configuration, task, model = train.build(job)
    state = checkpoint_utils.load_checkpoint_to_cpu(str(undisturbed / "checkpoints" / LAST))
    model.load_state_dict(state["model"])
    model.eval()
    evaluation = Evaluation(task, job.recipe, numbers)
    words = task.target_dictionary

    def sentences(suffix):
        return (numbers / f"valid.{suffix}").read_text("utf-8").splitlines()

    def log_probabilities(source, target):
        with torch.no_grad():
            logits, _ = model(source[None], torch.tensor([len(source)]), target[None])
        return logits[0].double().log_softmax(dim=-1)

    nats, tokens, translations = 0.0, 0, []
    for pair in zip(sentences("spm.en"), sentences("spm.de"), strict=True):
        source, target = (
            torch.tensor([words.index(word) for word in side.split()] + [words.eos()])
            for side in pair
        )
        expected = log_probabilities(source, torch.cat([target[-1:], target[:-1]]))
        nats -= expected[range(len(target)), target].sum().item()
        tokens += len(target)
        said = target[-1:]
        while len(said) == 1 or said[-1] != words.eos():
            assert len(said) < 50
            said = torch.cat([said, log_probabilities(source, said)[-1].argmax()[None]])
        pieces = [words[i] for i in said[1:-1]]
        translations.append("".join(pieces).replace("▁", " ").strip())
    criterion = task.build_criterion(configuration.criterion)
    measured = evaluation.perplexity(model, criterion)
    assert measured == pytest.approx(np.exp(nats / tokens), rel=1e-5)
    expected = sacrebleu.corpus_bleu(translations, [sentences("de")]).score
    assert evaluation.bleu(model) == pytest.approx(expected)
    assert expected > 1


def test_missing_or_uneven_data_is_refused(numbers, tmp_path):
    with pytest.raises(ValueError, match="prepare the data set"):
        train.train(small.job(tmp_path / "run", tmp_path / "nowhere"))
    broken = Path(shutil.copytree(numbers, tmp_path / "broken"))
    with (broken / "valid.de").open("a") as file:
        file.write("noch eine\n")
    with pytest.raises(ValueError, match="has 21 lines, the binarised valid split 20 pairs"):
        train.train(small.job(tmp_path / "run", broken))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_out_of_memory_ends_the_run(numbers, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("fairseq.tasks.translation.TranslationTask.train_step", full)
    with pytest.raises(torch.OutOfMemoryError):
        train.train(small.job(tmp_path, numbers))
    assert not list((tmp_path / "checkpoints").iterdir())


def test_every_pair_of_the_training_set_is_seen_in_an_epoch(numbers, tmp_path, monkeypatch):
    seen = []
    step = train.RecordingTrainer.train_step

    def spy(self, samples, **options):
        seen.extend(i for sample in samples for i in sample["id"].tolist())
        return step(self, samples, **options)

    monkeypatch.setattr(train.RecordingTrainer, "train_step", spy)
    train.train(small.job(tmp_path, numbers, epochs=1, update_frequency=2))
    assert sorted(seen) == list(range(300))
