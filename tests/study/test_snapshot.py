"""The copy of the code that jobs execute has code, with its modes, and a hash that runs record."""

from __future__ import annotations

import json
import stat
import sys

import pytest

from study.launch import snapshot


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An own package, as people have them."""
    folder = tmp_path / "site" / "ownplugin"
    (folder / "data").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("url = https://me:password@example.org\n")
    (folder / "__init__.py").write_text("")
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o750)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "old.pyc").write_text("")
    (folder / ".env").write_text("TOKEN=secret\n")
    (folder / ".env").chmod(0o600)
    (folder / "key.json").write_text("{}")
    (folder / "key.json").chmod(0o600)
    (folder / "data" / "words.txt").write_text("a\nb\n")
    (folder / "data" / "weights.pth").write_bytes(bytes(snapshot.MOST_BYTES + 1))
    (tmp_path / "secret").write_text("secret")
    (folder / "leads_out.txt").symlink_to(tmp_path / "secret")
    (folder / "nowhere.txt").symlink_to("/nowhere")
    (folder / "leads_out").symlink_to(tmp_path)
    (folder / "same.txt").symlink_to("data/words.txt")
    (tmp_path / "shared.py").write_text("x = 1\n")
    (folder / "shared.py").symlink_to(tmp_path / "shared.py")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield folder
    sys.modules.pop("ownplugin", None)


def copied(path):
    return {str(each.relative_to(path)) for each in path.rglob("*") if each.is_file()}


def test_hidden_files_large_ones_and_links_that_lead_out_are_left_out_and_named(package, tmp_path):
    told = []
    copy = snapshot.take(tmp_path / "code", ["ownplugin.task"], told.append)
    assert copied(copy / "ownplugin") == {
        *("__init__.py", "shared.py", "tool.sh", "key.json", "data/words.txt", "same.txt"),
    }
    assert told == [
        "not copied for the jobs, being no code: "
        f"{package}/data/weights.pth (10.0 MB), {package}/leads_out (a link to {tmp_path}), "
        f"{package}/leads_out.txt (a link to {tmp_path}/secret), "
        f"{package}/nowhere.txt (a link to /nowhere)"
    ]
    assert not [each for each in copy.rglob("*") if each.is_symlink()]
    modes = {
        n: stat.S_IMODE((copy / "ownplugin" / n).stat().st_mode) for n in ("tool.sh", "key.json")
    }
    assert modes == {"tool.sh": 0o750, "key.json": 0o600}


def test_the_copy_is_named_by_its_content_and_says_so_to_its_runs(package, tmp_path):
    first = snapshot.take(tmp_path / "code", ["ownplugin"])
    assert json.loads((first / "snapshot.json").read_text())["snapshot"] == first.name
    assert snapshot.folder_for(tmp_path / "code", ["ownplugin"]) == first
    (package / ".env").write_text("TOKEN=other\n")
    assert snapshot.take(tmp_path / "code", ["ownplugin"]) == first
    (package / "__init__.py").write_text("x = 2\n")
    second = snapshot.take(tmp_path / "code", ["ownplugin"])
    assert second != first
    assert json.loads((second / "snapshot.json").read_text())["snapshot"] == second.name
