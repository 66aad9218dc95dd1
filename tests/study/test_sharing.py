"""Two people, two users of this machine, share one folder of runs."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
import sys

import pytest

GRID = """
task: toy
recipe: {epochs: 2}
product: {mechanism: ["1111"]}
seeds: [0, 1]
"""
FIRST, SECOND, GROUP = "games", "man", "users"


@pytest.fixture
def people(toy, tmp_path, monkeypatch):
    """A grid, and a function that runs ``study`` as one of them, with a umask.

    They may read everything, since Python and the test's folder are root's alone, but write no more
    than anybody.
    """
    names = {user.pw_name for user in pwd.getpwall()} | {group.gr_name for group in grp.getgrall()}
    if os.geteuid() or not shutil.which("setpriv") or not {FIRST, SECOND, GROUP} <= names:
        pytest.skip(f"only root may be {FIRST} and {SECOND} of the group {GROUP}, with setpriv")
    toy(GRID)
    tmp_path.chmod(0o755)
    shared = tmp_path / "shared"
    shared.mkdir()
    shutil.chown(shared, FIRST, GROUP)
    monkeypatch.setenv("STUDY_RUNS", str(shared / "runs"))

    def study(name, umask, *words):
        right = "+dac_read_search"
        user = ["setpriv", f"--reuid={name}", f"--regid={GROUP}", "--clear-groups"]
        user += [f"--inh-caps={right}", f"--ambient-caps={right}"]
        return subprocess.run(
            [*user, sys.executable, "-m", "study", *words],
            capture_output=True,
            text=True,
            check=False,
            umask=umask,
            env=os.environ | {"LOGNAME": name, "HOME": str(tmp_path)},
        )

    return shared, study


def test_with_the_umask_and_the_bit_of_the_page_each_can_go_on_with_the_others_runs(people):
    shared, study = people
    shared.chmod(0o2770)
    assert study(FIRST, 0o002, "run", "grid.yaml", "--seed", "0").returncode == 0
    made = [shared / "runs", *(shared / "runs").rglob("*")]
    assert len(made) > 10
    for path in made:
        found, wanted = path.stat(), stat.S_IRGRP | stat.S_IWGRP
        assert path.group() == GROUP, path
        assert found.st_mode & wanted == wanted, (path, stat.filemode(found.st_mode))
        assert not path.is_dir() or found.st_mode & stat.S_ISGID, path
    (first,) = (shared / "runs").glob("toy-*")
    (first / "result.json").unlink()  # so that it is to be trained once more
    done = study(SECOND, 0o002, "run", "grid.yaml")
    assert done.returncode == 0, done.stderr
    assert {path.owner() for path in (shared / "runs").rglob("exit.json")} == {FIRST, SECOND}
    assert len([*first.glob("attempts/*/exit.json")]) == 2


def test_without_them_the_second_is_told_whose_folder_it_is_and_what_to_do(people):
    shared, study = people
    shared.chmod(0o2775)
    assert study(FIRST, 0o022, "run", "grid.yaml", "--seed", "0").returncode == 0
    done = study(SECOND, 0o022, "run", "grid.yaml")
    assert done.returncode == 2
    runs = shared / "runs"
    assert done.stderr.startswith(
        f"error: {runs} (drwxr-sr-x, {FIRST}:{GROUP}): Permission denied for {SECOND}."
    )
    assert f"`chmod -R g+rwX {runs}`" in done.stderr
    assert "umask 002" in done.stderr
