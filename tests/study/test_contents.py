"""A data set that is prepared anew under its name is another one, for tables and checkpoints."""

import json
import shutil

import pytest

from study.runs.folder import iter_runs

from .conftest import study

GRID = "task: toy\nproduct: {{mechanism: [{}]}}\n"


@pytest.fixture
def anew(toy, tmp_path):
    """Return a function that prepares the toy data set again, with another content."""

    def prepare(content="y"):
        shutil.rmtree(tmp_path / "data/toy-data")
        module = tmp_path / "site/toytask/data.py"
        text = module.read_text()
        module.write_text(text[: text.index('write_text("')] + f'write_text("{content}")\n' + REST)
        assert study("data", "prepare", "toy-data").returncode == 0

    return prepare


REST = '    return {"items": {"train": 1}}\n'


def test_finished_runs_of_another_content_are_told_before_more_are_trained(toy, anew, tmp_path):
    grid = toy(GRID.format("none"))
    assert study("run", grid).returncode == 0
    toy(GRID.format("none, 1111"))
    assert "another content" not in study("run", grid, "--mechanism", "none").stdout
    anew()
    done = study("run", grid)
    assert done.returncode == 0
    assert "toy-data: 1 finished runs saw another content of it (" in done.stdout
    assert "1 of 2 runs to train" in done.stdout
    table = study("table", grid).stdout
    assert "runs of 2 contents of toy-data, which are not comparable: " in table
    assert "DIFFERENT" not in table


def test_a_run_that_was_begun_is_not_continued_on_another_content(toy, anew, tmp_path):
    grid = toy(GRID.format("none"))
    assert study("run", grid).returncode == 0
    (folder,) = iter_runs(tmp_path / "runs")
    (folder.path / "result.json").unlink()
    kept = (folder.path / "provenance.json").read_bytes()
    anew()
    done = study("run", grid)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "was begun on another content of toy-data: its fingerprint was" in done.stderr
    assert "Move the folder away" in done.stderr
    assert len(folder.attempts) == 1
    by_hand = json.loads(study("inspect", folder.path.name, "--json").stdout)["command"]
    assert by_hand
    assert (folder.path / "provenance.json").read_bytes() == kept
    anew("x")  # as it was
    assert study("run", grid).returncode == 0


def test_a_run_that_recorded_nothing_yet_begins_on_what_there_is(toy, anew, tmp_path):
    grid = toy(GRID.format("none"))
    assert study("run", grid).returncode == 0
    (folder,) = iter_runs(tmp_path / "runs")
    for name in ("result.json", "metrics.jsonl"):
        (folder.path / name).unlink()
    shutil.rmtree(folder.path / "checkpoints")
    (folder.path / "checkpoints").mkdir()
    (folder.path / "checkpoints" / "20190411_120000.py").touch()  # MMEngine's configuration
    anew()
    assert study("run", grid).returncode == 0


def test_the_worker_itself_refuses(toy, anew, tmp_path):
    """As a job does that waited in a queue meanwhile."""
    from study.errors import StudyError
    from study.runs.contents import check_same_data

    assert study("run", toy(GRID.format("none"))).returncode == 0
    (folder,) = iter_runs(tmp_path / "runs")
    record = json.loads((folder.path / "provenance.json").read_text())
    record["data"]["toy-data"]["fingerprint"] = "f" * 64
    (folder.path / "provenance.json").write_text(json.dumps(record))
    (folder.path / "result.json").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "study.runs.contents.data.card", lambda name: {"fingerprint": "0123456789ab" * 4}
        )
        with pytest.raises(StudyError, match="was ffffffffffff, and is 0123456789ab now"):
            check_same_data(folder, "toy-data")
