"""Published values: each with its source, in the unit of our results, never among our numbers."""

from __future__ import annotations

import io

import pandas as pd
import pytest
import yaml

from analysis.runs.collect import collect
from analysis.stats.group import groups
from analysis.tables.published import COLUMNS, FOLDER, beside, load
from analysis.tables.table import csv, markdown
from plugins.contracts.tasks import find_task, task_names
from study.errors import StudyError
from study.runs.folder import RunFolder

GOOD = """
label: COCO, somebody
task: detection
data: coco
metric: mAP
scale: 0.01
setting: a detector
values:
  - mechanism: 0010
    method: ours
    sites: [conv4, conv5]
    value: 39.1
    source: https://example.org/table
"""


def summary_of(*folders, baseline="none"):
    (summary,) = groups(collect(RunFolder(folder) for folder in folders), baseline)
    return summary


def written(folder, text, name="somebody.yaml"):
    (folder / name).write_text(text)
    return folder


def row_of(table, mechanism):
    lines = [line for line in table.splitlines() if line.startswith("|")]
    head, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return dict(zip(head, next(row for row in rows if row[0] == mechanism), strict=True))


def test_the_files_of_this_repository_are_read_and_agree_with_the_tasks():
    frame = load()
    assert tuple(frame.columns) == COLUMNS
    assert set(frame["name"]) == {path.stem for path in FOLDER.glob("*.yaml")}
    assert set(frame["task"]) <= set(task_names())
    for task, values in frame.groupby("task"):
        module = find_task(task)
        assert set(values["metric"]) == {module.metrics[0].name}
        assert set(".".join(values["sites"]).split(".")) <= {*module.sites, ""}
    assert frame["source"].str.fullmatch(r"https://\S+").all()


def test_values_are_those_of_the_file_in_the_unit_of_our_results():
    frame = load()
    printed = yaml.safe_load((FOLDER / "mmdetection-v2.yaml").read_text())["values"]
    ours = frame[frame["name"] == "mmdetection-v2"]
    assert ours["printed"].tolist() == [value["value"] for value in printed]
    assert ours["value"].tolist() == pytest.approx([value["value"] / 100 for value in printed])
    fractions = frame[frame["task"] != "translation"]["value"]
    assert fractions.between(0, 1).all()
    assert frame[frame["task"] == "translation"]["value"].between(1, 100).all()


def test_published_values_stand_beside_ours_and_change_none_of_them(make_run, tmp_path):
    values = load(written(tmp_path, GOOD))
    folders = [
        make_run(m, s, 0.3 + s / 10, metric="mAP", recipe={"data": "coco"})
        for m in ("none", "0010")
        for s in (0, 1)
    ]
    ours = summary_of(*folders)
    both = beside(ours, values)
    assert {c.name: c.label for c in both.published} == {"published.somebody": "COCO, somebody"}
    pd.testing.assert_frame_equal(both.rows.drop(columns="published.somebody"), ours.rows)
    assert "published.somebody" not in ours.rows
    text = markdown([both])
    assert row_of(text, "0010")["published COCO, somebody"] == "39.1"
    assert row_of(text, "none")["published COCO, somebody"] == "-"
    assert "comparable with ours only if the recipe is the same" in text
    assert "not comparable" not in text


def test_values_on_other_data_are_shown_on_demand_only_and_with_a_warning(make_run, tmp_path):
    values = load(written(tmp_path, GOOD))
    ours = summary_of(make_run("0010", 0, 0.3, metric="mAP"))
    assert beside(ours, values).published == ()
    assert beside(ours, values).notes == ours.notes
    shown = beside(ours, values, everything=True)
    assert "on coco, ours on trees: not comparable with ours" in shown.notes[-1]
    assert "results/published/somebody.yaml" in shown.notes[-1]


@pytest.mark.parametrize(
    "other", [{"metric": "mAP_50"}, {"task": "segmentation"}, {"sites": ("conv5",)}]
)
def test_values_of_another_metric_task_or_place_do_not_fit(make_run, tmp_path, other):
    values = load(written(tmp_path, GOOD))
    ours = summary_of(make_run("0010", 0, 0.3, **({"metric": "mAP"} | other)))
    shown = beside(ours, values, everything=True)
    assert shown.published == ()
    assert shown.notes[-1].startswith("published: no value for ")


def test_a_method_without_a_run_gets_a_row_with_nothing_of_ours(make_run, tmp_path):
    text = GOOD.replace("  - mechanism: 0010\n    method: ours\n", "  - method: NonLocalNet\n")
    values = load(written(tmp_path, text))
    ours = summary_of(
        make_run("0010", 0, 0.3, metric="mAP"), make_run("none", 0, 0.2, metric="mAP")
    )
    both = beside(ours, values, everything=True)
    assert values["mechanism"].isna().all()
    row = row_of(markdown([both]), "NonLocalNet")
    assert row.pop("mechanism") == "NonLocalNet"
    assert row.pop("published COCO, somebody") == "39.1"
    assert set(row.values()) == {"-"}
    frame = pd.read_csv(io.StringIO(csv([both])), comment="#", dtype={"mechanism": str})
    read = frame.set_index("mechanism")
    assert read["published.somebody"].to_dict() == pytest.approx(
        {"none": float("nan"), "0010": float("nan"), "NonLocalNet": 0.391}, nan_ok=True
    )
    assert read["n"].to_dict() == {"none": 1, "0010": 1, "NonLocalNet": 0}


def test_published_digits_are_not_rounded_away(make_run, tmp_path):
    values = load(written(tmp_path, GOOD.replace("39.1", "39.14")))
    ours = summary_of(make_run("0010", 0, 0.3, metric="mAP"))
    text = markdown([beside(ours, values, everything=True)])
    assert row_of(text, "0010")["published COCO, somebody"] == "39.14"


def test_remarks_name_the_mechanisms_that_they_are_about(make_run):
    ours = summary_of(make_run("0010", 0, 0.3, metric="mAP"))
    notes = "\n".join(beside(ours, load(), everything=True).notes)
    assert "1111+deformable, 0010+deformable: deformable convolution in conv3 too" in notes


def test_a_folder_without_files_has_no_values(tmp_path):
    assert load(tmp_path).empty


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    source: https://example.org/table\n", "", r"somebody.yaml:9: values.0.source"),
        ("https://example.org/table", "my memory", r"somebody.yaml:13: values.0.source"),
        ("value: 39.1", "value: high", r"somebody.yaml:12: values.0.value"),
        ("value: 39.1", "value: .nan", r"somebody.yaml:12: values.0.value"),
        ("mechanism: 0010", "mechanism: 0012", r"somebody.yaml:9: values.0.mechanism.*0012"),
        ("setting:", "seting:", r"unknown key 'seting'; did you mean 'setting'"),
        ("method:", "methods:", r"unknown key 'values.0.methods'; did you mean 'method'"),
        ("scale: 0.01", "scale: 0", r"somebody.yaml:6: scale"),
        ("label: COCO, somebody\n", "", r"label"),
    ],
)
def test_mistakes_in_a_file_are_told_with_file_line_and_key(tmp_path, old, new, said):
    assert old in GOOD
    with pytest.raises(StudyError, match=said):
        load(written(tmp_path, GOOD.replace(old, new)))


def test_a_value_given_twice_is_refused(tmp_path):
    entry = GOOD.partition("values:\n")[2]
    with pytest.raises(StudyError, match=r"somebody.yaml:14: '0010' has a value already"):
        load(written(tmp_path, GOOD + entry))
