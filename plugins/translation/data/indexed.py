"""fairseq's binary data, read without fairseq, whose import changes the logging of a process."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from plugins.contracts.dataset import PrepareError

__all__ = ["MARKS", "MAX_POSITIONS", "UNKNOWN", "Side", "languages", "split", "words"]

MARKS = ("<s>", "<pad>", "</s>", "<unk>")
"""The first words of every dictionary of fairseq's."""
UNKNOWN = 3

MAX_POSITIONS = 1024
"""Words of a sentence at most, its end mark among them: fairseq's own limit of a Transformer."""

_HEADER = struct.Struct("<9sQBQ")
_MAGIC = b"MMIDIDX\x00\x00"
_TYPES = {1: "u1", 2: "i1", 3: "i2", 4: "i4", 5: "i8", 8: "u2", 9: "u4", 10: "u8"}


class Side:
    """One language of a split: sentences as numbers of words, the end mark among them.

    Parameters
    ----------
    path: Path
        Of the pair of files ``<path>.idx`` and ``<path>.bin``.

    Attributes
    ----------
    sizes: numpy.ndarray
        Tokens of each sentence.

    Raises
    ------
    PrepareError
        If the files are not those that fairseq-preprocess writes.
    """

    def __init__(self, path: Path) -> None:
        index, content = path.with_name(f"{path.name}.idx"), path.with_name(f"{path.name}.bin")
        header = index.read_bytes()
        again = "write it again with fairseq-preprocess"
        if not header.startswith(_MAGIC) or len(header) < _HEADER.size:
            raise PrepareError(f"{index} is no index of fairseq's kind mmap; {again}")
        _, _, kind, number = _HEADER.unpack_from(header)
        if len(header) < _HEADER.size + 12 * number or kind not in _TYPES:
            raise PrepareError(f"{index} is cut or damaged; {again}")
        self.sizes = np.frombuffer(header, "<i4", number, _HEADER.size)
        starts = np.frombuffer(header, "<i8", number, _HEADER.size + 4 * number)
        words = np.dtype(_TYPES[kind])
        self._starts = starts // words.itemsize
        there = content.stat().st_size if content.exists() else 0
        if there < int(self.sizes.sum(dtype=np.int64)) * words.itemsize:
            raise PrepareError(f"{content} has fewer words than {index} says; {again}")
        self._words = np.memmap(content, words, mode="r") if there else np.empty(0, words)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> np.ndarray:
        start = self._starts[index]
        return self._words[start : start + self.sizes[index]]


def languages(data: Path) -> tuple[str, str]:
    """Return source and target of a prepared data set.

    Raises
    ------
    PrepareError
        If its folder ``bin`` has none, or several pairs.
    """
    names = {path.name.split(".")[1] for path in (data / "bin").glob("train.*-*.*.idx")}
    found = sorted(name for name in names if name.count("-") == 1)
    if len(found) != 1:
        told = f"the pairs {', '.join(found)}" if found else "no train.SOURCE-TARGET.SOURCE.idx"
        raise PrepareError(f"{data / 'bin'} has {told}; one pair of languages is expected")
    source, _, target = found[0].partition("-")
    return source, target


def split(data: Path, name: str, pair: tuple[str, str]) -> tuple[Side, Side] | None:
    """Return source and target of a split, None if it has none."""
    paths = [data / "bin" / f"{name}.{'-'.join(pair)}.{language}" for language in pair]
    there = [path.with_name(f"{path.name}.idx").is_file() for path in paths]
    if not any(there):
        return None
    if not all(there):
        raise PrepareError(f"{paths[there.index(False)]}.idx is missing; the other side is there")
    return Side(paths[0]), Side(paths[1])


def words(data: Path, language: str) -> list[str]:
    """Return a language's dictionary, fairseq's marks first."""
    path = data / "bin" / f"dict.{language}.txt"
    if not path.is_file():
        raise PrepareError(f"{path} is missing; fairseq-preprocess writes it")
    with path.open(encoding="utf-8", newline="\n") as lines:
        return [*MARKS, *(line.rstrip("\n").rpartition(" ")[0] for line in lines)]
