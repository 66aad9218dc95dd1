"""What a user's own text is freed of, and what is told of that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from plugins.contracts.dataset import PrepareError
from plugins.translation.data.text import Files, invisible, sentences, tidy

__all__ = ["Cleaning"]

BYTE_ORDER_MARK, SPACE = "\ufeff", "\u2581"
SEPARATORS = re.compile("[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""What other programs may take for the end of a line."""

KINDS = {
    "mark": "a byte order mark, which was taken away",
    "returns": "a carriage return at the end, which was taken away",
    "separators": "a separator within them that other programs take for the end of a line, for "
    "which a space stands now",
    "sign": f"the sign {SPACE}, which means a space in subword units and is one now",
    "invisible": "invisible characters, such as soft hyphens, which were taken away",
    "spaces": "other white space than single spaces, for which these stand now",
}


class Cleaning:
    """Reads pairs of lines, tidied, and counts what had to be done.

    Attributes
    ----------
    empty: int
        Pairs that were left out because a side is empty.
    """

    def __init__(self) -> None:
        self.empty = 0
        self._lines: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def pairs(self, files: Files) -> Iterator[tuple[str, str]]:
        """Yield the pairs of training files without those that have an empty side."""
        for source, target in zip(*map(self._clean, files.values()), strict=True):
            if source and target:
                yield source, target
            else:
                self.empty += 1

    def whole_pairs(self, files: Files) -> Iterator[tuple[str, str]]:
        """Yield the pairs of files that others measure on too.

        Raises
        ------
        PrepareError
            If a side is empty, for a number on other pairs would not be comparable.
        """
        sides = list(map(self._clean, files.values()))
        for number, (source, target) in enumerate(zip(*sides, strict=True), 1):
            for file, line in zip(files.values(), (source, target), strict=True):
                if not line:
                    raise PrepareError(
                        f"{file}, line {number} is empty; take the line out on both sides, or "
                        "fill it in"
                    )
            yield source, target
        if not sides or not any(file.stat().st_size for file in files.values()):
            names = " and ".join(map(str, files.values()))
            raise PrepareError(f"{names} are empty; fill them in, or remove them")

    def told(self) -> list[str]:
        """Return a sentence for each thing that was done."""
        told = [
            f"{number} line{'s' if number > 1 else ''} had {KINDS[kind]} (the first: "
            f"{self._first[kind]})"
            for kind, number in self._lines.items()
        ]
        if self.empty:
            told.append(f"{self.empty} training pairs have an empty side and are left out")
        return told

    def _clean(self, file: Path) -> Iterator[str]:
        for number, line in enumerate(sentences(file), 1):
            where = f"{file.name}, line {number}"
            if "\0" in line:
                raise PrepareError(
                    f"{file}, line {number} has a zero byte; if it is in UTF-16, convert it: "
                    "iconv -f UTF-16 -t UTF-8"
                )
            if number == 1 and line.startswith(BYTE_ORDER_MARK):
                self._tell("mark", where)
                line = line.removeprefix(BYTE_ORDER_MARK)
            if line.endswith("\r"):
                self._tell("returns", where)
                line = line.removesuffix("\r")
            if SEPARATORS.search(line):
                self._tell("separators", where)
                line = SEPARATORS.sub(" ", line)
            if SPACE in line:
                self._tell("sign", where)
                line = line.replace(SPACE, " ")
            visible = invisible().sub("", line)
            if visible != line:
                self._tell("invisible", where)
            clean = tidy(visible)
            if clean != visible:
                self._tell("spaces", where)
            yield clean

    def _tell(self, kind: str, where: str) -> None:
        self._lines[kind] = self._lines.get(kind, 0) + 1
        self._first.setdefault(kind, where)
