"""Two contents of the code never look equal, with git and without."""

import hashlib
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from study.environment import without_git
from study.runs import code
from study.runs.folder import iter_runs
from study.runs.provenance import packages_of

from .conftest import study

GRID = "task: toy\nproduct: {mechanism: [none]}\n"


def git(folder, *words):
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, env=without_git())


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one package, in the place of ours."""
    package = tmp_path / "checkout" / "study" / "runs"
    package.mkdir(parents=True)
    (package / "code.py").write_text("known = 1\n")
    git(tmp_path, "init", "-q", "checkout")
    git(tmp_path / "checkout", "add", ".")
    git(tmp_path / "checkout", "commit", "-qm", "first")
    monkeypatch.setattr(code, "__file__", str(package / "code.py"))
    return tmp_path / "checkout"


def test_a_checkout_as_committed_is_clean(checkout):
    state = code.git_state()
    assert len(state.pop("commit")) == 40
    assert state == {"dirty": False, "diff": "", "untracked": {}}


def test_an_own_mechanism_that_git_does_not_know_is_a_difference(checkout):
    own = checkout / "plugins" / "grüner.py"
    own.parent.mkdir()
    own.write_text("mine = 1\n")
    (checkout / "notes.txt").write_text("no code")
    state = code.git_state()
    assert (state["dirty"], state["diff"]) == (True, "")
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    assert state["untracked"] == {"plugins/grüner.py": digest}
    own.write_text("mine = 2\n")
    assert code.git_state()["untracked"] != state["untracked"]


def test_what_git_ignores_is_no_code_of_ours(checkout):
    (checkout / ".git/info/exclude").write_text("build/\n")
    (checkout / "build").mkdir()
    (checkout / "build/made.py").write_text("")
    assert code.git_state()["dirty"] is False


def test_an_edit_is_a_difference(checkout):
    (checkout / "study/runs/code.py").write_text("known = 2\n")
    state = code.git_state()
    assert state["dirty"]
    assert "+known = 2" in state["diff"]


@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"])
def test_a_hook_of_another_checkout_changes_nothing(checkout, tmp_path, monkeypatch, name):
    before = code.git_state()
    monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert code.git_state() == before


def test_a_package_installed_in_somebodys_checkout_is_not_part_of_it(checkout, monkeypatch):
    installed = checkout / "venv/study/code.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    (checkout / ".git/info/exclude").write_text("venv/\n")
    monkeypatch.setattr(code, "__file__", str(installed))
    assert code.git_state() == {"commit": "", "dirty": False, "diff": "", "untracked": {}}


def test_without_git_the_content_tells_codes_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert code.git_state()["commit"] == ""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "somebodys"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("a = 1\n")
    (package / "deep/kernel.so").write_bytes(b"1")
    seen = {code.content(["somebodys"])}
    (package / "deep/kernel.so").write_bytes(b"2")
    seen.add(code.content(["somebodys"]))
    (package / "__init__.py").write_text("a = 2\n")
    seen.add(code.content(["somebodys"]))
    (package / "__init__.py").rename(package / "other.py")
    seen.add(code.content(["somebodys"]))
    assert len(seen) == 4
    (package / "notes.txt").write_text("no code")
    assert code.content(["somebodys"]) in seen


def test_a_module_without_a_package_and_one_that_is_gone_have_a_content(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lone.py").write_text("a = 1\n")
    before = code.content(["lone"])
    (tmp_path / "lone.py").write_text("a = 2\n")
    assert code.content(["lone"]) != before
    assert code.content(["gone"]) == hashlib.sha256().hexdigest()[:16]


def test_a_run_records_our_code_and_the_packages_of_others(toy, tmp_path):
    package = tmp_path / "site/toytask"
    git(tmp_path, "init", "-q", "site")
    git(tmp_path / "site", "add", ".")
    git(tmp_path / "site", "commit", "-qm", "first")
    grid, contents = toy(GRID), []
    for number in range(2):
        runs = tmp_path / f"runs{number}"
        assert study("run", grid, "--runs", runs).returncode == 0
        (folder,) = iter_runs(runs)
        assert folder.provenance["code"] == code.content()
        own = folder.provenance["outside"]["toytask"]
        assert (own["version"], len(own["commit"])) == ("1.0", 40)
        contents.append(own["content"])
        with (package / "train.py").open("a") as file:
            file.write("\n# another thought\n")
    assert len({*contents}) == 2


def test_a_result_depends_on_the_distributions_that_importlib_names(tmp_path, monkeypatch):
    """With a list of packages, with a list of files, which has a lone module, and with neither."""
    monkeypatch.syspath_prepend(tmp_path)
    for name, file, text in (
        ("listed", "top_level.txt", "mine\nothers\n"),
        ("recorded", "RECORD", "mine/deep/a.py,sha256=x,1\nlone.py,,\nbin/mine,,\nmine.txt,,\n"),
        ("neither", "INSTALLER", "somebody\n"),
    ):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / file).write_text(text)
    always = packages_of("translation", [])
    owners = packages_distributions()
    assert sorted(owners["mine"]) == ["listed", "recorded"]
    for package in ("mine", "others", "lone", "study", "yaml", "six", "typing_extensions"):
        found = packages_of("translation", [f"{package}.module"])
        assert set(found) - {*always} == {*owners.get(package, ())} - {*always}


def test_a_copy_of_the_code_has_its_content(tmp_path):
    from study.launch.snapshot import take

    copy = take(tmp_path)
    script = "from study.runs.code import content; print(content())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(copy)!r}); {script}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path("/"),
    )
    assert done.stdout.strip() == code.content()
