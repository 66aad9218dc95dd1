"""Text files with a sentence a line: how they are read, and what becomes of their characters."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from plugins.contracts.dataset import PrepareError

__all__ = ["Files", "count", "invisible", "pairs", "sentences", "tidy", "write"]

Files = Mapping[str, Path]
"""By language, the source first."""

BLOCK = 1 << 20
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def tidy(line: str) -> str:
    """Return a line without invisible characters, and with single spaces only."""
    return " ".join(invisible().sub("", line).split())


@cache
def invisible() -> re.Pattern[str]:
    """Match control and format characters, such as soft hyphens, byte order marks and joiners."""
    characters = (chr(code) for code in range(sys.maxunicode + 1))
    found = (c for c in characters if unicodedata.category(c) in ("Cc", "Cf") and not c.isspace())
    return re.compile(f"[{''.join(map(re.escape, found))}]")


def sentences(file: Path) -> Iterator[str]:
    """Yield the lines of a text without their ends.

    Only a line feed ends a line. Carriage returns, Unicode's separators and form feeds may stand in
    a line: a reader that breaks there finds other pairs.

    Raises
    ------
    PrepareError
        If the text is not in UTF-8. It names line and byte.
    """
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                yield line.decode("utf-8").removesuffix("\n")
            except UnicodeDecodeError as error:
                where = f"line {number}, byte {error.start + 1}"
                raise _wrong(file, where, line[error.start], "LATIN1") from None


def _wrong(file: Path, where: str, found: int, likely: str) -> PrepareError:
    return PrepareError(
        f"{file} is not in UTF-8: {where} is 0x{found:02x}; if it is in {likely}, convert it: "
        f"iconv -f {likely} -t UTF-8"
    )


def count(file: Path) -> int:
    """Return the number of lines; PrepareError if the text is in UTF-16, which has other ends."""
    lines, last = 0, b"\n"
    with file.open("rb") as stream:
        if (mark := stream.read(2)) in UTF_16:
            raise _wrong(file, "line 1, byte 1", mark[0], "UTF-16")
        stream.seek(0)
        while block := stream.read(BLOCK):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines + (last != b"\n")


def pairs(lines: Mapping[Path, int]) -> int:
    """Return the number of pairs, once both files of them have as many lines.

    Raises
    ------
    PrepareError
        If they have not.
    """
    if len(set(lines.values())) > 1:
        told = " and ".join(f"{file} {number}" for file, number in lines.items())
        raise PrepareError(
            f"lines are no pairs: {told} lines; a download was cut, or the files are of different "
            "versions: take both from the same place again"
        )
    return next(iter(lines.values()))


def write(file: Path, lines: Iterable[str]) -> None:
    """Write a text."""
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in lines)
