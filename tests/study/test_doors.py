"""Sets of a user's own: what they may be called, when they are refused, what is noticed later.

The door is a toy, installed as a third party would install one.
"""

from __future__ import annotations

import os
import shutil
import textwrap
from pathlib import Path

import pytest
from command import study

from study import data
from study.data import contents, doors
from study.errors import StudyError

DOOR = """
    from pydantic import Field

    from plugins.contracts.copies import link
    from plugins.contracts.dataset import PrepareError
    from plugins.contracts.doors import Door, DoorOptions

    class Options(DoorOptions):
        size: int = Field(3, ge=1)
        names: str = ""

    class Numbers(Door):
        task = "toy"
        Options = Options
        content = "numbers"
        unit = "numbers"
        splits = ("train",)
        where = "a folder with numbers.txt is expected"

        def prepare(self, copy, out, options, progress):
            if not (copy / "numbers.txt").is_file():
                raise PrepareError(f"{copy} has no numbers.txt; {self.where}")
            link(copy / "numbers.txt", out / "numbers.txt")
            link(copy / "more", out / "more")
            return {"items": {"train": options.size}, "notes": ["one is a number"]}
"""


@pytest.fixture
def copy(toy, tmp_path, monkeypatch):
    """A user's files, for the door `numbers`."""
    site = tmp_path / "site"
    package, info = site / "toydoor", site / "toydoor-1.0.dist-info"
    package.mkdir()
    (package / "__init__.py").write_text(textwrap.dedent(DOOR))
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toydoor\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[study.doors]\nnumbers = toydoor:Numbers\n")
    folder = tmp_path / "my files"
    (folder / "more").mkdir(parents=True)
    (folder / "numbers.txt").write_text("1 2 3\n")
    (folder / "more" / "4.txt").write_text("4\n")
    return folder


def add(copy, *options, kind="numbers", name="my-numbers", code=0):
    done = study("data", "add", kind, name, "--from", copy, *options)
    assert done.returncode == code, done.stderr
    return done.stderr


def prepare(copy, code=0, name="my-numbers"):
    done = study("data", "prepare", name, "--from", copy)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_a_set_is_known_by_its_name_until_its_folder_is_deleted(copy, toy):
    said = add(copy, "-o", "size=4", "-o", "content=odd ones")
    assert "own set my-numbers: odd ones (own data), 4 numbers; in-domain val" in said
    assert "my-numbers: one is a number" in said
    assert "my-numbers" in study("data", "list").stdout
    grid = toy("task: toy\nrecipe: {data: my-numbers}\nproduct: {mechanism: [none]}\n")
    assert "1 planned" in study("plan", grid).stdout
    shutil.rmtree(Path(os.environ["STUDY_DATA"]) / "my-numbers")
    assert "my-numbers" not in study("data", "list").stdout
    done = study("plan", grid)
    assert done.returncode == 2
    assert "unknown data set 'my-numbers'" in done.stderr
    assert "study data add KIND my-numbers --from DIR" in done.stderr
    assert (copy / "numbers.txt").read_text() == "1 2 3\n"


def test_a_grid_with_a_mistyped_name_is_told_the_nearest(copy, toy):
    add(copy)
    grid = toy("task: toy\nrecipe: {data: my-number}\nproduct: {mechanism: [none]}\n")
    done = study("plan", grid)
    assert done.returncode == 2
    assert "grid.yaml:2" in done.stderr
    assert "unknown data set 'my-number'; did you mean 'my-numbers'?" in done.stderr


@pytest.mark.parametrize("name", ["my numbers", "my--numbers", ".hidden", "../out", "a/b", "é", ""])
def test_a_name_that_runs_cannot_have_is_refused(copy, name):
    assert "cannot be the name of a data set" in add(copy, name=name, code=2)


@pytest.mark.parametrize(
    ("name", "message"),
    [("toy-data", "comes with a package"), ("wheels", "the folder of what is downloaded")],
)
def test_a_name_that_is_taken_is_refused(copy, name, message):
    assert message in add(copy, name=name, code=2)


def test_a_mistyped_kind_is_told_the_nearest(copy):
    said = add(copy, kind="number", code=2)
    assert "unknown kind of data 'number'; did you mean 'numbers'?" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sise=3"], "--option sise=3: unknown key 'sise'; did you mean 'size'?"),
        (["size"], "--option size: KEY=VALUE is expected"),
        (["size=three"], "--option size=three: Input should be a valid integer"),
        (["size=0"], "--option size=0: Input should be greater than or equal to 1"),
        (["size=1", "size=2"], "--option size=2: size is given twice"),
    ],
)
def test_a_wrong_option_is_named(copy, words, message):
    options = [part for word in words for part in ("-o", word)]
    assert message in add(copy, *options, code=2)
    assert not (Path(os.environ["STUDY_DATA"]) / "my-numbers").exists()


def test_files_that_the_door_refuses_leave_nothing(copy):
    (copy / "numbers.txt").unlink()
    assert "my-numbers was not prepared: " in (said := add(copy, code=2))
    assert "has no numbers.txt; a folder with numbers.txt is expected" in said
    left = [path.name for path in Path(os.environ["STUDY_DATA"]).iterdir()]
    assert not [name for name in left if "my-numbers" in name and not name.endswith(".lock")]


def test_adding_again_does_nothing_and_otherwise_is_refused(copy, tmp_path):
    add(copy, "-o", "size=4", "-o", "names=one two")
    assert "my-numbers: already prepared" in add(copy, "-o", "size=4", "-o", "names=one two")
    said = add(copy, code=2)
    made = "study data add numbers my-numbers --from DIR -o size=4 -o 'names=one two'"
    assert f"was made otherwise, by: {made}; to make it anew, delete it" in said
    other = shutil.copytree(copy, tmp_path / "other")
    said = add(other, "-o", "size=4", "-o", "names=one two", code=2)
    assert f"was prepared from {copy}; to prepare it from {other}, delete it" in said


def test_an_added_set_may_be_asked_for_as_others_are(copy, tmp_path):
    add(copy)
    assert "my-numbers: already prepared" in prepare(copy)
    assert f"was prepared from {copy}" in prepare(tmp_path, code=2)


@pytest.mark.parametrize("file", ["numbers.txt", "more/4.txt"])
def test_an_edit_that_keeps_the_number_of_bytes_is_noticed(copy, file):
    add(copy)
    text = (copy / file).read_text()
    (copy / file).write_text(text.replace(text[0], "9"))
    said = prepare(copy, code=2)
    assert "have another content than when it was prepared; put them back, or delete" in said
    assert "study data add numbers my-numbers --from DIR" in said
    (copy / file).write_text(text)
    assert "already prepared" in prepare(copy)


def test_a_file_less_in_a_linked_folder_is_noticed(copy):
    add(copy)
    (copy / "more" / "4.txt").unlink()
    assert "has 0 files, and had 1 when it was prepared" in prepare(copy, code=2)


def test_a_set_is_hashed_again_only_if_a_file_was_touched(copy, tmp_path, monkeypatch):
    add(copy)
    monkeypatch.syspath_prepend(tmp_path / "site")
    for cached in (doors._entries, doors.find_door):
        cached.cache_clear()
    hashed = []
    fingerprint = contents.fingerprint
    monkeypatch.setattr(
        contents, "fingerprint", lambda *given: hashed.append(1) or fingerprint(*given)
    )
    data.verify("my-numbers")
    assert not hashed
    (copy / "more" / "4.txt").touch()
    data.verify("my-numbers")
    assert len(hashed) == 1
    (copy / "more" / "4.txt").write_text("5\n")
    with pytest.raises(StudyError, match="another content"):
        data.verify("my-numbers")
    for cached in (doors._entries, doors.find_door):
        cached.cache_clear()


def test_a_card_of_another_version_of_the_door_is_told(copy):
    add(copy)
    card = Path(os.environ["STUDY_DATA"]) / "my-numbers" / "card.json"
    card.write_text(card.read_text().replace('"size": 3', '"amount": 3'))
    done = study("data", "list")
    assert done.returncode == 2
    assert "was taken in by another version of numbers; delete it and add it again" in done.stderr
