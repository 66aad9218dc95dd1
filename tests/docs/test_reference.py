"""The pages and the reference build without a warning, and the reference has all that is public."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

ROOT = Path(__file__).parents[2]
ROOMS = ("study", "plugins", "analysis")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site, of a copy of the folder: what is generated lies beside the pages."""
    root = tmp_path_factory.mktemp("site")
    made = shutil.ignore_patterns("_build", "reference")
    shutil.copytree(ROOT / "docs", root / "docs", ignore=made)
    for place in (*ROOMS, "results", "grids"):
        (root / place).symlink_to(ROOT / place)
    (command,) = re.findall(r"\$\(BIN\)/python (-m sphinx .*)", (ROOT / "Makefile").read_text())
    done = subprocess.run(
        [sys.executable, *command.split()], capture_output=True, text=True, check=False, cwd=root
    )
    assert done.returncode == 0, done.stderr
    return root / "docs" / "_build"


NEED_TRITON = ("in_triton", "launch")


def public() -> set[str]:
    """Return modules, and the classes and functions that they define and name in `__all__`."""
    names = set()
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if parts[-1] == "__main__" or parts[-1] in NEED_TRITON:
            continue
        names.add(module)
        body = ast.parse(path.read_text()).body
        defined = {node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        for node in body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                listed = {
                    word.value for word in ast.walk(node.value) if isinstance(word, ast.Constant)
                }
                names |= {f"{module}.{name}" for name in listed & defined}
    return names


def test_the_reference_has_everything_that_is_public(site):
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="").data
    found = {name for role in ("py:module", "py:class", "py:function", "py:exception")
             for name in inventory.get(role, {})}  # fmt: skip
    wanted = public()
    assert len(wanted) > 500
    assert not wanted - found


def test_a_recipes_fields_are_described(site):
    page = (site / "reference" / "plugins" / "plugins.detection.recipe.html").read_text()
    assert "every how many pixels a key is taken" in page


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_pages_outside_lead_somewhere(name):
    """Sphinx checks those of docs/; headings are compared as GitHub names them."""
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)", text)
    links += [(source, "") for source in re.findall(r'<img src="([^"]+)"', text)]
    assert links
    for path, heading in links:
        assert (ROOT / path).exists(), path
        if heading:
            titles = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.M)
            assert heading in [re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles]
