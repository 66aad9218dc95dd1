"""Curves: the quick way and the patient way agree, whatever a worker, a kill or a disk left."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest

from analysis.runs.collect import collect
from analysis.runs.curves import LOSS_POINTS, _quick, curves
from study.files import read_metrics
from study.runs.archive import ArchivedRun, store
from study.runs.folder import RunFolder


def evaluation(split, step, epoch, **metrics):
    return {"split": split, "time": 1795381128.609 + step, "step": step, "epoch": epoch, **metrics}


def regular(chance, lines=250):
    """Return what one undisturbed attempt writes."""
    records = [evaluation("untrained", 0, 0, mAP=0.0, mAP_50=0.003)]
    for n in range(1, lines + 1):
        place = {"step": 10 * n, "epoch": round(n / 50, 4)}
        loss = chance.choice([chance.uniform(0, 20), 3.0, 1e-05])
        time = round(1795381128.609 + n, 3)
        records.append({"split": "train", "time": time, **place, "loss": loss, "lr": 1e-3 / n})
        if n % 50 == 0:
            records.append(evaluation("val", 10 * n, n // 50, mAP=chance.random(), mAP_50=0.2))
    return [json.dumps(record) for record in records]


def resumed(chance):
    """Return the lines of two attempts: the second repeats some steps, with other numbers."""
    first, second = regular(chance), regular(chance)
    return first[:180] + second[120:]


def torn(chance):
    lines = resumed(chance)
    for place in chance.sample(range(len(lines)), 20):
        lines[place] = lines[place][: chance.randrange(len(lines[place]))]
    return lines


def nested(chance):
    """Return lines of which some, torn ones too, end with a brace that is not the last one."""
    lines = regular(chance)
    lines[7] = lines[7][:-1] + ', "lr_by_group": {"mechanism": 0.1}}'
    lines[9] = lines[9][:-1] + ', "lr_by_group": {"mechanism": 0.1}'
    return lines


def unusual(chance):
    """Return lines with other keys, other orders, no step, no number; and no records at all."""
    return [
        *regular(chance)[:120],
        '{"loss": 7.5, "epoch": 3, "step": 1205, "split": "train"}',
        '{"split": "train", "time": 1, "step": 1210, "epoch": 3.1, "loss": null}',
        '{"split": "train", "time": 1, "step": 1220, "epoch": 3.2, "loss": NaN, "lr": 0.1}',
        '{"split": "train", "time": 1, "step": 1230, "epoch": 3.3, "loss": Infinity}',
        '{"split": "val", "time": 1, "epoch": 3.3, "mAP": 0.7}',
        '{"split": "val", "time": 1, "step": 1240, "epoch": 3.4, "mAP": null}',
        '{"split": "note", "text": "a } brace { or two"}',
        "[1, 2]",
        "",
    ]


def expected(path, metric):
    """Say in the plainest way what the curves are."""
    records = read_metrics(path)
    train = [record for record in records if record["split"] == "train"]
    if len(train) > 100:
        train = [train[round(i * (len(train) - 1) / 99)] for i in range(100)]
    number = {type(None): lambda _: math.nan}
    curve = [
        [r["epoch"], number.get(type(r[metric]), float)(r[metric])]
        for r in records
        if r["split"] in ("untrained", "val") and metric in r
    ]
    loss = [[r["epoch"], number.get(type(r["loss"]), float)(r["loss"])] for r in train]
    return curve, loss


def pairs(curve):
    return np.array(curve).reshape(-1, 2)


@pytest.mark.parametrize("make", [regular, resumed, torn, nested, unusual])
@pytest.mark.parametrize("seed", range(8))
def test_the_curves_are_those_of_the_records(tmp_path, make, seed):
    lines = make(random.Random(seed))
    path = tmp_path / "metrics.jsonl"
    for end in ("\n", "", '\n{"split": "train", "time": 1, "step": 9999, "epoch": 6, "loss": 2.'):
        path.write_text("\n".join(lines) + end)
        found = curves(RunFolder(tmp_path), "mAP")
        for ours, theirs in zip(found, expected(path, "mAP"), strict=True):
            np.testing.assert_array_equal(pairs(ours), np.array(theirs, float).reshape(-1, 2))


def test_only_regular_files_are_read_by_patterns():
    for seed, make in enumerate([regular, resumed]):
        text = "\n".join(make(random.Random(seed))) + "\n"
        assert _quick(text, "mAP") is not None
        assert _quick(text[:-1], "mAP") is None  # the last line may be torn
    for seed, make in enumerate([torn, nested, unusual]):
        assert _quick("\n".join(make(random.Random(seed))) + "\n", "mAP") is None


def test_a_later_evaluation_of_a_step_brings_the_metric_that_takes_longer(tmp_path):
    # Translation measures perplexity after each epoch, and BLEU after the last.
    records = [
        evaluation("untrained", 0, 0, BLEU=0.0, perplexity=12203.7),
        evaluation("val", 337, 1, perplexity=91.9),
        evaluation("val", 1011, 3, perplexity=36.6),
        evaluation("val", 1011, 3, BLEU=5.5, perplexity=36.6),
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(text)
    assert [*curves(RunFolder(tmp_path), "BLEU")[0]] == [0, 0, 3, 5.5]
    assert [*curves(RunFolder(tmp_path), "perplexity")[0]] == [0, 12203.7, 1, 91.9, 3, 36.6]


def test_the_loss_is_thinned_evenly_and_keeps_both_ends(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("\n".join(regular(random.Random(0), 1000)) + "\n")
    epochs = pairs(curves(RunFolder(tmp_path), "mAP")[1])[:, 0]
    assert (len(epochs), epochs[0], epochs[-1]) == (LOSS_POINTS, 0.02, 20.0)
    assert np.ptp(np.diff(epochs)) < 0.021  # one line, of which there are 50 an epoch


def test_an_archive_gives_the_curves_of_its_folder(make_run, tmp_path):
    folder = make_run(metric="mAP")
    lines = resumed(random.Random(1))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    run, file = RunFolder(folder), tmp_path / f"{folder.name}.json"
    store(run, file)
    there, archived = (collect([f]).iloc[0] for f in (run, ArchivedRun(folder, file)))
    assert len(there["loss_curve"]) == LOSS_POINTS
    assert len(there["curve"]) == 6
    assert archived["curve"] == there["curve"]
    assert archived["loss_curve"] == there["loss_curve"]


def test_without_records_the_curves_are_empty(tmp_path):
    assert [*map(list, curves(RunFolder(tmp_path), "mAP"))] == [[], []]
    (tmp_path / "metrics.jsonl").write_text("")
    assert [*map(list, curves(RunFolder(tmp_path), "mAP"))] == [[], []]
