"""The table as a file: both forms read back as the frame, and what is no table is refused."""

from __future__ import annotations

import csv
import json
import math

import pandas as pd
import pyarrow.parquet as pq
import pytest

import analysis.runs.collect
from analysis.runs.collect import COLUMNS, collect, update
from analysis.runs.table import CURVES, FIELDS, SIGNATURE, files, read
from study.errors import StudyError
from study.runs.folder import RunFolder, iter_runs


@pytest.fixture
def awkward(make_run):
    """Return run folders with all that is hard to keep in a file."""
    none = make_run("none", sites=(), uncounted={})
    result = json.loads((none / "result.json").read_text())
    result |= {"loss": {"first": 1e-300, "last": math.inf}, "peak_memory_bytes": 2**53}
    result["metrics"] |= {"mAP": 0.1 + 0.2, "time": 1e17, "whole": 3}
    (none / "result.json").write_text(json.dumps(result))
    lines = [{"split": "val", "step": n, "epoch": n, "mAP": n / 3} for n in range(3)]
    lines += [{"split": "train", "step": n, "epoch": n / 7, "loss": 1e22 * n} for n in range(150)]
    lines[3] |= {"loss": math.nan}  # the first of the training
    (none / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    failed = make_run("0001", value=None, recipe={"note": 'a "quoted", é\n\\ line', "rate": 0.1})
    (failed / "attempts" / "1").mkdir(parents=True)
    error = "ValueError: \"a\", b\r\nNaN\tnull, 'c'"
    ending = {"cause": "failed", "error": error}
    (failed / "attempts" / "1" / "exit.json").write_text(json.dumps(ending))
    one = make_run("0110+deformable", 2, task="translation", metric="BLEU", value=21.0)
    two = make_run("0010", 3, macs=0)
    (two / "metrics.jsonl").write_text(json.dumps(lines[0]) + "\n")  # one point: [[0, 0]]
    return [RunFolder(folder) for folder in (none, failed, one, two)]


@pytest.fixture
def table(awkward, tmp_path):
    """Return the two files of a table, and the frame that they hold."""
    paths = files(tmp_path / "out" / "table")
    update(awkward, *paths)
    return *paths, collect(awkward)


def test_both_files_are_read_back_as_the_frame(table):
    parquet, text, frame = table
    assert math.isnan(frame["loss_last"].tolist()[0])
    assert frame["mechanism"].tolist() == ["none", "0001", "0110+deformable", "0010"]
    assert [len(curve) for curve in frame["loss_curve"]] == [100, 0, 0, 0]
    assert frame["uncounted"].isna().tolist() == [False, True, False, False]
    for path in (parquet, text):
        back = read(path)
        assert [*back.columns] == [*frame.columns]
        assert back.attrs == frame.attrs
        for name in CURVES:  # lists of floats, of which NaN is not equal to itself
            assert repr(back.pop(name).tolist()) == repr(frame[name].tolist())
        plain = frame.drop(columns=[*CURVES])
        pd.testing.assert_frame_equal(back, plain, check_exact=True)


def test_the_columns_are_the_documented_ones_in_either_file(table):
    parquet, text, frame = table
    assert tuple(frame.columns[: len(COLUMNS)]) == COLUMNS
    assert pq.read_schema(parquet).names == [*frame.columns, SIGNATURE]
    assert next(csv.reader(text.open())) == [*frame.columns]
    listed = {name for name, kind in FIELDS.items() if str(kind).startswith("list<")}
    assert listed == {"curve", "loss_curve"}
    prose = analysis.runs.collect.__doc__ or ""
    assert [name for name in COLUMNS if f"``{name}``" not in prose] == []


def test_other_programs_read_both_files(table):
    parquet, text, frame = table
    plain = pd.read_parquet(parquet)
    assert plain["value"].tolist()[0] == 0.1 + 0.2
    assert [len(curve) for curve in plain["curve"]] == [3, 0, 0, 1]
    words = pd.read_csv(text, dtype={"mechanism": str}, keep_default_na=False, na_values=[""])
    assert words["mechanism"].tolist() == frame["mechanism"].tolist()
    assert json.loads(words["curve"][0]) == frame["curve"][0]
    nan = json.loads(words["loss_curve"][0], parse_constant=pytest.fail)
    assert sum(value is None for _, value in nan) == 1


def test_a_table_that_pandas_wrote_is_read_too(table, tmp_path):
    parquet, text, frame = table
    chosen = pd.read_parquet(parquet).iloc[[0, 3]]
    chosen.to_parquet(tmp_path / "chosen.parquet", index=False)
    expected = frame.iloc[[0, 3]].reset_index(drop=True)
    pd.testing.assert_frame_equal(read(tmp_path / "chosen.parquet"), expected)
    words = pd.read_csv(text, dtype={"mechanism": str})
    words.to_csv(tmp_path / "words.csv", index=False)
    assert read(tmp_path / "words.csv")["sites"].tolist() == frame["sites"].tolist()


def test_an_empty_table_of_a_grid_has_the_same_columns_and_types(table):
    _, _, frame = table
    pd.testing.assert_series_equal(
        collect([]).dtypes, frame[list(COLUMNS)].dtypes, check_names=False
    )


def test_the_stem_decides_where_the_files_are(tmp_path):
    names = {"a.csv": "a", "a.parquet": "a", "a": "a", "a.v2": "a.v2", "a.v2.csv": "a.v2"}
    for given, stem in names.items():
        expected = (tmp_path / f"{stem}.parquet", tmp_path / f"{stem}.csv")
        assert files(tmp_path / given) == expected


def edited(text, **changes):
    """Write the CSV file `text` with a column put in the place of each named one."""
    frame = pd.read_csv(text, dtype=str, keep_default_na=False)
    frame.assign(**changes).to_csv(text, index=False)


def test_what_is_no_runs_table_is_refused_with_the_reason(table, tmp_path):
    parquet, text, _ = table
    content = text.read_bytes()

    def refused(path, match):
        with pytest.raises(StudyError, match=match) as caught:
            read(path)
        assert str(path) in str(caught.value)
        text.write_bytes(content)

    refused(tmp_path / "none.csv", "no such file")
    refused(tmp_path, "is a folder")
    for name, inside in {"a.csv": b"x,y\n1,2\n", "b.csv": b"", "c": b"\x89PNG\r\n\x1a\n\0"}.items():
        (tmp_path / name).write_bytes(inside)
        refused(tmp_path / name, "no runs table of `study collect`")
    (tmp_path / "torn.parquet").write_bytes(parquet.read_bytes()[:-20])
    refused(tmp_path / "torn.parquet", "no runs table of `study collect`")
    pd.DataFrame({"id": ["a"], "x": [1]}).to_parquet(tmp_path / "other.parquet")
    refused(tmp_path / "other.parquet", "it has no such columns")
    edited(text, valeu="1")
    refused(text, r"unknown column 'valeu'; did you mean 'value'\?")
    pd.read_csv(text, dtype=str).drop(columns="curve").to_csv(text, index=False)
    refused(text, "the column 'curve' is missing")
    edited(text, value="high")
    refused(text, "'high'")
    edited(text, seed="")
    refused(text, "run 1 has no 'seed'")
    edited(text, mechanism="10")
    refused(text, "mechanism '10' has lost its zeros")
    edited(text, curve="[[1, 2], [3]]")
    refused(text, "lists of \\[epoch, value\\]")
    edited(text, curve="[[1, 2")
    refused(text, "no runs table")


def test_a_value_that_no_run_can_have_is_refused_with_run_and_column(table):
    parquet, text, frame = table
    content = text.read_bytes()
    last = frame["id"].tolist()[-1]

    def refused(name, value, right):
        """Put a value into the last row of a column."""
        edited(text, **{name: [*pd.read_csv(text, dtype=str)[name].fillna("")[:-1], value]})
        with pytest.raises(StudyError) as caught:
            read(text)
        for part in (str(text), f"run {last}", repr(name), right):
            assert part in str(caught.value)
        text.write_bytes(content)

    refused("recipe", "[1]", "a JSON object")
    refused("recipe", "{'epochs': 8}", "a JSON object")
    refused("uncounted", "aten.exp: 5", "name=number; name=number")
    refused("uncounted", "aten.exp=1; aten.sum=many", "name=number; name=number")
    for name in ("value", "mechanism_macs", "metrics.mAP"):
        refused(name, "-inf", "a finite number")
    refused("curve", "[[0, 1], [1, Infinity]]", "lists of finite numbers")
    refused("metric", "", "the name of the headline metric")
    refused("seed", "-1", "a whole number of 0 or more")
    refused("state", "complete", "did you mean 'completed'?")

    ids = [*frame["id"][:-1], frame["id"][0]]
    edited(text, id=ids)
    with pytest.raises(StudyError, match=f"two rows have the 'id' {ids[0]}"):
        read(text)
    pd.read_parquet(parquet).assign(seed=-1).to_parquet(parquet)
    with pytest.raises(StudyError, match=f"run {ids[0]}: 'seed' is '-1'"):
        read(parquet)


def test_a_failed_write_leaves_both_files_as_they_were(table, make_run, tmp_path, monkeypatch):
    parquet, text, frame = table
    content = parquet.read_bytes(), text.read_bytes()
    make_run(seed=9)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.csv.write_csv", full)
    with pytest.raises(OSError, match="No space left"):
        update([*iter_runs(tmp_path / "runs")], parquet, text)
    assert (parquet.read_bytes(), text.read_bytes()) == content
    assert sorted(path.name for path in parquet.parent.iterdir()) == ["table.csv", "table.parquet"]
    monkeypatch.undo()
    assert update([*iter_runs(tmp_path / "runs")], parquet, text).runs == len(frame) + 1
