"""A page of docs/: the files and the commands that it shows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

__all__ = ["Page", "shell"]

DOCS = Path(__file__).parents[1] / "docs"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)
# "... `folder/name.ext` ...:" directly before a block
NAMED = re.compile(r"`([\w./~-]+\.\w+)`[^`]*:\n\n\Z")


class Page:
    """What stands in a page, or in the section of it under one heading."""

    def __init__(self, name: str, section: str | None = None) -> None:
        self.text = (DOCS / name).read_text(encoding="utf-8")
        if section is not None:
            _, _, after = self.text.partition(f"\n## {section}\n")
            assert after, f"{name} has no section {section!r}"
            self.text = after.partition("\n## ")[0]

    def files(self) -> dict[str, str]:
        """Return the blocks that are files, by the name in the sentence before."""
        named = ((NAMED.search(self.text[: block.start()]), block) for block in self._blocks())
        return {name[1]: block[2] for name, block in named if name}

    def write(self, folder: Path) -> list[str]:
        """Write the files into a folder; return their names."""
        files = self.files()
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")
        return list(files)

    def commands(self) -> list[str]:
        """Return the blocks of shell commands."""
        return [block[2] for block in self._blocks() if block[1] == "sh"]

    def _blocks(self):
        return list(FENCED.finditer(self.text))


def shell(commands: str, **options) -> subprocess.CompletedProcess[str]:
    """Run commands as they stand; each must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done
