"""A set is prepared from its user's copy, which stays as it is; links stand for what is large.

The set is a toy: a list of annotations, and a folder of images.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from plugins.contracts.copies import CopyCard, check_counts, link
from plugins.contracts.dataset import Card, PrepareError
from study import data
from study.commands.data import app
from study.data import contents
from study.errors import StudyError

ABOUT = {
    "task": "toys", "content": "toys", "licence": "MIT", "unit": "toys",
    "benchmark": "Toys 2017", "composed": False, "in_domain": True, "packages": (), "notes": (),
}  # fmt: skip
CARD = CopyCard(**ABOUT, where="Toys are at https://toys.org")


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """The set `toys`, which wants two images, and `other`, which is downloaded."""
    module = SimpleNamespace(CARD=CARD, SOURCES=(), built=0)

    def prepare(copy, out, progress, subset):
        module.built += 1
        images = len(list((copy / "images").iterdir()))
        official = check_counts({"images": images}, {"images": 2}, subset)
        link(copy / "list.json", out / "annotations" / "train.json")
        link(copy / "images", out / "images" / "all")
        (out / "own").write_text("made")
        return {"items": {"train": images, "val": 0}, "official": official}

    module.prepare = prepare
    module.recognises = lambda folder: (folder / "list.json").exists()
    other = SimpleNamespace(
        CARD=Card(**ABOUT),
        SOURCES=(),
        prepare=lambda sources, out, progress: {"items": {"train": 1, "val": 1}},
    )
    monkeypatch.setattr(
        "study.data.sets.datasets", lambda: {"toys": "toys_module", "other": "other_module"}
    )
    monkeypatch.setitem(sys.modules, "toys_module", module)
    monkeypatch.setitem(sys.modules, "other_module", other)
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "prepared"))
    return module


@pytest.fixture
def copy(tmp_path) -> Path:
    folder = tmp_path / "toys"
    (folder / "images" / "sub").mkdir(parents=True)
    (folder / "list.json").write_text("[]")
    (folder / "images" / "one").write_text("1")
    (folder / "images" / "sub" / "two").write_text("22")
    return folder


def prepare(copy: Path, **options) -> str:
    said = io.StringIO()
    data.prepare_from("toys", copy, console=Console(file=said), **options)
    return said.getvalue()


def state(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        entry.relative_to(folder).as_posix(): (entry.stat().st_mtime_ns, entry.stat().st_size)
        for entry in (folder, *folder.rglob("*"))
    }


def test_the_copy_is_only_read_and_linked_to(toy, copy):
    before = state(copy)
    said = prepare(copy)
    assert "Toys 2017 (MIT), 2/0 toys; published splits" in said
    folder = data.path("toys")
    assert (folder / "annotations/train.json").resolve() == copy / "list.json"
    assert (folder / "images/all").resolve() == copy / "images"
    card = data.card("toys")
    assert card["copy"] == str(copy)
    assert card["links"] == {"images/all": 2}
    assert card["size"] == {"files": 2, "bytes": len("[]") + len("made")}
    assert card["not_comparable_with"] == ""
    data.verify("toys")
    shutil.rmtree(folder)
    assert state(copy) == before


def test_a_second_call_builds_nothing(toy, copy, tmp_path):
    prepare(copy)
    before = state(tmp_path / "prepared")
    assert "already prepared" in prepare(copy)
    data.prepare(["toys"])
    assert toy.built == 1
    assert state(tmp_path / "prepared") == before


def test_a_part_is_marked(toy, copy):
    (copy / "images" / "three").touch()
    with pytest.raises(StudyError, match=r"3 images, not 2.*--subset"):
        prepare(copy)
    assert not data.is_prepared("toys")
    assert "part of Toys 2017 (MIT), 3/0 toys; not comparable with Toys 2017" in prepare(
        copy, subset=True
    )
    assert data.card("toys")["not_comparable_with"] == "Toys 2017"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda copy: (copy / "images" / "one").unlink(), "images/all.* has 1 files, and had 2"),
        (lambda copy: (copy / "images" / "more").touch(), "images/all.* has 3 files, and had 2"),
        (lambda copy: (copy / "list.json").write_text("[ ]"), "of 7 bytes.*prepared with 2 of 6"),
        (lambda copy: copy.rename(copy.with_name("away")), "leads to .*/toys, is that still there"),
    ],
)
def test_a_copy_that_changed_is_noticed(toy, copy, spoil, message):
    prepare(copy)
    spoil(copy)
    with pytest.raises(StudyError, match=message + r".*study data prepare toys --from DIR"):
        data.verify("toys")


def test_hidden_files_of_a_file_browser_do_not_count(toy, copy):
    prepare(copy)
    (copy / "images" / ".DS_Store").touch()
    data.verify("toys")


def test_the_fingerprint_knows_annotations_by_content_and_images_by_name_and_size(toy, copy):
    def fingerprint(place: Path) -> str:
        shutil.rmtree(data.data_root(), ignore_errors=True)
        prepare(place, subset=True)
        return data.card("toys")["fingerprint"]

    base = fingerprint(copy)
    elsewhere = shutil.copytree(copy, copy.with_name("elsewhere"))
    assert fingerprint(elsewhere) == base
    (elsewhere / "images" / "one").write_text("x")
    assert fingerprint(elsewhere) == base
    (elsewhere / "images" / "one").write_text("11")
    larger = fingerprint(elsewhere)
    (elsewhere / "images" / "one").rename(elsewhere / "images" / "uno")
    renamed = fingerprint(elsewhere)
    (elsewhere / "list.json").write_text("{}")
    assert len({base, larger, renamed, fingerprint(elsewhere)}) == 4


def test_another_copy_is_refused(toy, copy, tmp_path):
    prepare(copy)
    with pytest.raises(StudyError, match=r"was prepared from .*/toys; .*delete it first"):
        prepare(tmp_path / "another")
    through_a_link = tmp_path / "link"
    through_a_link.symlink_to(copy)
    assert "already prepared" in prepare(through_a_link)


def test_a_copy_in_the_place_of_the_prepared_set_is_left_alone(toy, copy, monkeypatch):
    monkeypatch.setenv("STUDY_DATA", str(copy.parent))
    before = state(copy)
    with pytest.raises(StudyError, match=r"is where the prepared toys goes; choose another"):
        prepare(copy)
    assert state(copy) == before


def test_a_build_that_fails_leaves_nothing_and_the_copy(toy, copy):
    before, build = state(copy), toy.prepare

    def fail(*arguments, **options):
        build(*arguments, **options)
        raise PrepareError("an image is broken")

    toy.prepare = fail
    with pytest.raises(StudyError, match="toys was not prepared: an image is broken"):
        prepare(copy)
    assert [entry.name for entry in data.data_root().iterdir()] == [".toys.lock"]
    assert state(copy) == before


def test_what_cannot_be_read_of_a_copy_is_named(toy, copy):
    def fail(copy, *arguments, **options):
        (copy / "gone").read_text()

    toy.prepare = fail
    with pytest.raises(StudyError, match=r"cannot read .*/toys/gone: No such file"):
        prepare(copy)


def call(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    if isinstance(done.exception, StudyError):
        return 2, str(done.exception)
    return done.exit_code, done.output


def test_the_command_says_where_to_get_a_set_and_what_to_type(toy):
    assert call("prepare", "toys") == (
        2,
        "toys cannot be downloaded by the study. Toys are at https://toys.org; then run: "
        "study data prepare toys --from THAT_FOLDER",
    )


def test_all_leaves_out_what_needs_a_copy(toy):
    assert call("prepare", "--all")[0] == 0
    assert (data.is_prepared("other"), data.is_prepared("toys")) == (True, False)


def test_the_command_prepares_from_a_copy(toy, copy, tmp_path):
    root = tmp_path / "root"
    assert call("prepare", "toys", "--from", copy, "--root", root)[0] == 0
    assert data.is_prepared("toys", root)
    listed = json.loads(call("list", "--json", "--root", root)[1])
    assert {row["name"]: row["download_bytes"] for row in listed} == {"toys": None, "other": 0}
    assert "your copy" in call("list", "--root", root)[1]


def test_a_root_that_is_a_copy_is_read_as_one(toy, copy):
    before = state(copy)
    code, said = call("prepare", "toys", "--root", copy)
    assert code == 0
    assert f"toys: {copy} is a copy of it; read as --from {copy}" in said
    assert data.card("toys")["copy"] == str(copy)
    assert state(copy) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toys", "other", "--from", "x"], "the copy of one data set"),
        (["--all", "--from", "x"], "the copy of one data set"),
        (["other", "--from", "x"], "other is downloaded, not prepared from a copy"),
        (["toys", "--subset"], "give the copy with --from"),
        (["toys", "--root", "x"], "toys cannot be downloaded"),
    ],
)
def test_a_call_that_makes_no_sense_is_explained(toy, arguments, message):
    code, said = call("prepare", *arguments)
    assert code == 2
    assert message in said


def test_nothing_of_a_linked_folder_is_looked_at_to_count_it(copy, tmp_path, monkeypatch):
    """Each run counts again: 118,287 files on a shared disk must cost no more than a listing."""
    folder = tmp_path / "prepared"
    link(copy / "images", folder / "images")
    looked, stat = [], Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **o: looked.append(self.name) or stat(self, **o))
    assert contents.links(folder) == {"images": 2}
    assert not {"one", "two"} & set(looked)
