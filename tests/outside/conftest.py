"""A package that is not of the study, installed as pip would install it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from study import data

PACKAGE = Path(__file__).parent / "package"
EMBEDDED = ("trees", "landcover", "software-en-de")


def install(package: Path, site: Path) -> None:
    """Write into `site` what an installer notes of a package's ``pyproject.toml``."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    name, version = project["name"], project["version"]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture(scope="module")  # pytest ends the scope "package" with the session
def guest(tmp_path_factory):
    """Return the folder of somebody who has the study and the package installed."""
    folder = tmp_path_factory.mktemp("guest")
    install(PACKAGE, folder / "site")
    data.prepare(EMBEDDED)
    (folder / "data").mkdir()
    for name in EMBEDDED:
        (folder / "data" / name).symlink_to(data.path(name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder / "site"), str(PACKAGE)]))
        patch.setenv("STUDY_DATA", str(folder / "data"))
        patch.setenv("STUDY_RUNS", str(folder / "runs"))
        patch.chdir(folder)
        yield folder
