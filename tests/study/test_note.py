"""`study note`: what somebody wrote about a run, wherever the run is shown."""

import json
import shutil

import pytest

from .conftest import study
from .made import finished, planned

GRID = "task: toy\nproduct: {mechanism: [none, 1111]}\nbaseline: none\n"


@pytest.fixture
def grid(toy):
    """A grid of two runs."""
    return toy(GRID)


@pytest.fixture
def folders(grid, tmp_path):
    """Its runs, finished."""
    root = tmp_path / "runs"
    return [finished(planned(root, word)).path for word in ("none", "1111")]


def note(*arguments, code=0):
    done = study("note", *arguments)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_a_note_and_tags_are_shown_changed_and_removed(grid, folders, tmp_path):
    name = folders[1].name
    assert note(name) == f"{name}: no note\n"
    note(name, "odd loss at step 300", "--tag", "odd", "--tag", "again")
    assert json.loads((folders[1] / "note.json").read_text()) == {
        "schema": 1,
        "text": "odd loss at step 300",
        "tags": ["again", "odd"],
    }
    assert "note       [again] [odd] odd loss at step 300\n" in study("inspect", name).stdout
    # Tags change and the text stays.
    assert note(name, "--untag", "odd") == f"{name}: [again] odd loss at step 300\n"
    assert note(name, "") == f"{name}: [again]\n"


def test_runs_are_chosen_by_tag(grid, folders):
    note(folders[0].name, "--tag", "good")
    listed = json.loads(study("status", "--tag", "good", "--json").stdout)
    assert [row["id"] for row in listed] == [folders[0].name]
    refused = study("status", "--tag", "goof")
    assert refused.returncode == 2
    assert "--tag goof: none of the 2 runs has it; did you mean 'good'" in refused.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tag", "two words"], "--tag 'two words': a tag is one word"),
        (["--untag", "good"], "--untag good: the run has no such tag"),
    ],
)
def test_a_wrong_tag_is_refused_and_nothing_written(folders, options, said):
    assert said in note(folders[0].name, *options, code=2)
    assert not (folders[0] / "note.json").exists()


def test_an_archive_keeps_the_note_and_follows_it(grid, folders, tmp_path):
    note(folders[1].name, "first", "--tag", "good")
    study("archive", grid)
    (file,) = (tmp_path / "results" / "grid").glob(f"{folders[1].name}.json")
    assert json.loads(file.read_text())["note"]["text"] == "first"
    note(folders[1].name, "second")
    assert "1 runs archived" in study("archive", grid).stdout
    assert json.loads(file.read_text())["note"]["text"] == "second"
    # A folder without its note takes none from the archive.
    (folders[1] / "note.json").unlink()
    assert "0 runs archived" in study("archive", grid).stdout
    shutil.rmtree(folders[1])
    assert "[good] second" in study("inspect", folders[1].name).stdout
    refused = note(folders[1].name, "third", code=2)
    assert f"is archived in {file.relative_to(tmp_path)}" in refused


def test_an_archive_without_a_note_is_as_it_was(grid, folders, tmp_path):
    study("archive", grid)
    for file in (tmp_path / "results" / "grid").iterdir():
        assert [*json.loads(file.read_text())] == [
            *("schema", "run", "result", "provenance", "attempts", "metrics"),
        ]
