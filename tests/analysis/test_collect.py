"""Collecting: a run is a row, what a run lacks is missing, and nothing broken is fatal."""

from __future__ import annotations

import io
import json
import shutil

import pandas as pd
import pytest

from analysis.collect import COLUMNS, collect
from study.folder import RunFolder, iter_runs


def edit(path, **changes):
    obj = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (obj | changes).items() if v is not ...}))


def test_every_number_of_a_finished_run_reaches_its_column(make_run):
    folder = make_run("0110+deformable", 3, 0.25, macs=7_000_000, uncounted={"b": 2, "a": 10})
    frame = collect([RunFolder(folder)])
    assert tuple(frame.columns[: len(COLUMNS)]) == COLUMNS
    row = frame.iloc[0]
    expected = {
        "id": folder.name,
        "label": "detection-trees-0110+deformable-conv4.conv5-s3",
        "grid": "demo/detection",
        "task": "detection",
        "data": "trees",
        "mechanism": "0110+deformable",
        "sites": "conv4.conv5",
        "seed": 3,
        "version": 1,
        "state": "completed",
        "metric": "bbox_mAP",
        "value": 0.25,
        "untrained": 0.01,
        "loss_first": 2.41,
        "loss_last": 0.97,
        "model_macs": 1_257_000_000,
        "model_parameters": 3_400_000,
        "mechanism_macs": 7_000_000,
        "mechanism_parameters": 51_200,
        "input_shape": "3×256×256",
        "uncounted": "a=10; b=2",
        "seconds": 61.5,
        "peak_memory_bytes": 800_000_003,
        "attempts": 1,
        "recipe": '{"data":"trees","epochs":8}',
        "data_card": "trees: 60 aerial images, 40 for training & 20 held out; 100% public_domain",
        "metrics.bbox_mAP": 0.25,
        "metrics.bbox_mAP_50": 0.5,
    }
    assert {name: row[name] for name in expected} == expected
    assert pd.isna(row["positions"])


def test_an_unfinished_run_is_a_row_with_its_state_and_without_numbers(make_run):
    folder = make_run("0010", 0, None)
    dump_exit = folder / "attempts" / "1" / "exit.json"
    dump_exit.parent.mkdir(parents=True)
    dump_exit.write_text('{"cause": "oom"}')
    row = collect([RunFolder(folder)]).iloc[0]
    assert row["state"] == "oom"
    assert row["attempts"] == 1
    assert row[["value", "model_macs", "seconds", "metric", "data_card"]].isna().all()


def test_equal_recipes_give_equal_strings_whatever_the_order_of_their_keys(make_run):
    one = make_run(seed=0, recipe={"lr": 0.1, "depth": 18})
    other = make_run(seed=1, recipe={"depth": 18, "lr": 0.1})
    frame = collect([RunFolder(one), RunFolder(other)])
    assert frame["recipe"].nunique() == 1


@pytest.mark.parametrize(("switch", "shown"), [(True, "on"), (False, "off")])
def test_translation_says_whether_absolute_positions_are_added(make_run, switch, shown):
    folder = make_run(task="translation", metric="BLEU", recipe={"absolute_positions": switch})
    assert collect([RunFolder(folder)])["positions"].item() == shown


def test_broken_folders_are_named_with_the_reason_and_the_others_are_kept(make_run, tmp_path):
    good = make_run(seed=0)
    torn = make_run(seed=1)
    (torn / "result.json").write_text('{"schema": 1, "hash"')
    lacking = make_run(seed=2)
    edit(lacking / "result.json", cost=...)
    newer = make_run(seed=3)
    edit(newer / "run.json", schema=99)
    foreign = make_run(seed=4)
    edit(foreign / "result.json", hash="0" * 16)
    odd = make_run(seed=5)
    edit(odd / "result.json", loss=None)
    wordy = make_run(seed=6)
    edit(wordy / "result.json", metrics={"bbox_mAP": "high"})
    copy = shutil.copytree(good, good.with_name(good.name + "-copy"))
    frame = collect(iter_runs(tmp_path / "runs"))
    assert list(frame["id"]) == [good.name]
    reasons = dict(frame.attrs["broken"])
    assert set(reasons) == {str(path) for path in (torn, lacking, newer, foreign, odd, wordy, copy)}
    assert "torn" in reasons[str(torn)]
    assert "has no 'cost'" in reasons[str(lacking)]
    assert "newer" in reasons[str(newer)]
    assert "another run" in reasons[str(foreign)]
    assert "copy" in reasons[str(copy)]


def test_a_metric_that_is_no_number_does_not_spoil_the_headline(make_run):
    folder = make_run()
    edit(folder / "result.json", metrics={"bbox_mAP": 0.4, "per_class": [0.3, 0.5]})
    row = collect([RunFolder(folder)]).iloc[0]
    assert (row["value"], row["metrics.per_class"]) == (0.4, [0.3, 0.5])


def test_no_folders_give_an_empty_frame_with_the_same_columns():
    frame = collect([])
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 0
    assert frame.attrs["broken"] == []


def test_runs_with_different_metrics_share_one_frame(make_run):
    folders = [make_run(), make_run(task="translation", metric="BLEU", value=21.5)]
    frame = collect(RunFolder(folder) for folder in folders)
    assert frame["metrics.BLEU"].isna().tolist() == [True, False]
    assert frame["metrics.bbox_mAP"].isna().tolist() == [False, True]


def test_the_csv_is_read_back_unchanged_when_mechanisms_are_read_as_words(make_run):
    folders = [RunFolder(make_run(mechanism)) for mechanism in ("none", "0010", "1111")]
    frame = collect(folders).drop(columns="positions")  # missing everywhere: None became NaN
    back = pd.read_csv(io.StringIO(frame.to_csv(index=False)), dtype={"mechanism": str})
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)
