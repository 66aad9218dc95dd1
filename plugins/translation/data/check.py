"""Whether a prepared set is what training and evaluation take it for, whoever made it.

Training reads ``bin``; BLEU is measured against the natural text ``<split>.<target language>``. The
two come from different files, so they are compared sentence by sentence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plugins.contracts.dataset import Checked, PrepareError
from plugins.translation.data.bleu import PERFECT, bleu_of, require_number
from plugins.translation.data.indexed import (
    MARKS,
    MAX_POSITIONS,
    UNKNOWN,
    Side,
    languages,
    split,
    words,
)
from plugins.translation.data.text import sentences, tidy

__all__ = ["check"]

MEASURED = ("valid", "test")
FEWEST = 2
"""Pairs that a number is measured on, at least."""
SHOWN = 60
"""Characters of a sentence in a message."""
SPACE = "\u2581"
"""How sentencepiece writes a space."""


def check(folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
    """Read a prepared set as training and evaluation will; see `ChecksData.check_data`.

    Messages name files within the set, whose folder has a temporary name while it is built.
    """
    try:
        return _check(folder, whole, progress)
    except PrepareError as error:
        told = str(error).replace(f"{folder}/", "").replace(str(folder), "the set")
        raise PrepareError(told) from None


def _check(folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
    pair = languages(folder)
    dictionaries = words(folder, pair[0]), words(folder, pair[1])
    try:
        metric = bleu_of(pair[1])
    except ValueError as error:
        raise PrepareError(str(error)) from None
    subwords = _subwords(folder)
    notes: list[str] = []
    measured: dict[str, tuple[Side, Side]] = {}
    for name in MEASURED:
        sides = split(folder, name, pair)
        if sides is None:
            continue
        progress(f"comparing {name} with its text")
        if len(sides[0]) < FEWEST:
            raise PrepareError(f"{name} has {len(sides[0])} pairs, which is too few for a number")
        texts = [_Text(folder, name, *each) for each in zip(pair, sides, dictionaries, strict=True)]
        _same_number(*texts)
        for text in texts:
            text.compare()
        _agree(texts[1], subwords)
        notes += _bleu(texts[1], metric)
        measured[name] = sides
    if "valid" not in measured:
        raise PrepareError(f"{folder / 'bin'} has no split valid")
    train = split(folder, "train", pair)
    if train is None or not len(train[0]):
        raise PrepareError(f"{folder / 'bin'} has no training pair")
    progress("checking train")
    texts = [_Text(folder, "train", *each) for each in zip(pair, train, dictionaries, strict=True)]
    _same_number(*texts)
    counts: dict[str, Any] = {"bleu_tokens": metric.tokenizer_signature}
    sizes = np.maximum(train[0].sizes, train[1].sizes)
    found = {"too_long": int((sizes > MAX_POSITIONS).sum())}
    found["empty"] = int((np.minimum(train[0].sizes, train[1].sizes) <= 1).sum())
    if found["too_long"] == len(sizes):
        raise PrepareError(f"each training pair has more than {MAX_POSITIONS} units on a side")
    if whole:
        _compare_train(texts)
        found |= _repeated(train, measured, dictionaries[0] == dictionaries[1])
    kept = {what: number for what, number in found.items() if number}
    notes += [_TOLD[what].format(number, len(sizes)) for what, number in kept.items()]
    return Checked(counts | kept, tuple(notes))


_TOLD = {
    "too_long": "{} of {} training pairs are longer than "
    f"{MAX_POSITIONS} units and are left out of training",
    "empty": "{} of {} training pairs have an empty side",
    "untranslated": "{} of {} training pairs are the same on both sides",
    "valid_in_train": "{} pairs of valid are among the {} of train too",
    "test_in_train": "{} pairs of test are among the {} of train too",
}


@dataclass(frozen=True)
class _Text:
    """One language of a split: the natural text, and what training reads."""

    folder: Path
    split: str
    language: str
    side: Side
    words: list[str]

    @property
    def file(self) -> Path:
        return self.folder / f"{self.split}.{self.language}"

    def lines(self) -> list[str]:
        if not self.file.is_file():
            raise PrepareError(f"{self.file} is missing: the text that BLEU is measured against")
        return list(sentences(self.file))

    def units(self, index: int) -> np.ndarray:
        """Return a sentence without its end mark."""
        return self.side[index][:-1]

    def decoded(self, index: int) -> str:
        """Return a sentence as evaluation writes it."""
        units = ("⁇" if i == UNKNOWN else self.words[i] for i in self.units(index))
        return "".join(units).replace(SPACE, " ").strip()

    def compare(self) -> None:
        """Raise PrepareError where the sentences are not the lines of the text, or cannot be read.

        Its line numbers are those of the text.
        """
        lines = self.lines()
        if len(lines) != len(self.side):
            raise PrepareError(
                f"{self.file} has {len(lines)} lines, the binary data of {self.split} "
                f"{len(self.side)} sentences: they are not of the same text; only a line feed "
                "ends a line"
            )
        for index, line in enumerate(lines):
            where = f"{self.file}, line {index + 1}"
            if self.side.sizes[index] <= 1 or not tidy(line):
                raise PrepareError(f"{where} is empty: a sentence is expected")
            if self.side.sizes[index] > MAX_POSITIONS:
                raise PrepareError(
                    f"{where} has {self.side.sizes[index] - 1} units; a model reads "
                    f"{MAX_POSITIONS - 1} at most: shorten it, or take the pair out"
                )
            self.check_words(index, where)
            if not _same_text(self.units(index), self.words, line):
                raise PrepareError(
                    f"{where} is not what the binary data have: {_short(line)!r}, and there "
                    f"{_short(self.decoded(index))!r}; prepare both from the same text"
                )

    def check_words(self, index: int, where: str) -> None:
        """Raise PrepareError if a word is not in the dictionary, or is a mark of fairseq's."""
        units = self.units(index)
        if units.max(initial=0) >= len(self.words):
            raise PrepareError(f"{where}: the binary data were written with another dictionary")
        if (units < UNKNOWN).any() and (self.side.sizes[index] > 1):
            mark = MARKS[int(units[units < UNKNOWN][0])]
            raise PrepareError(f"{where} has {mark} as a word, which is a mark of fairseq's")


def _same_number(source: _Text, target: _Text) -> None:
    if len(source.side) != len(target.side):
        raise PrepareError(
            f"{source.folder / 'bin'}: {source.split} has {len(source.side)} sentences in "
            f"{source.language} and {len(target.side)} in {target.language}: lines are no pairs"
        )


def _bare(text: str) -> str:
    """Return what two writings of a text have in common: spaces and forms of characters differ."""
    return "".join(unicodedata.normalize("NFKC", tidy(text)).replace(SPACE, " ").split())


def _same_text(units: np.ndarray, known: list[str], line: str) -> bool:
    """Tell whether units spell a line; an unknown one stands for anything."""
    parts = [""]
    for unit in units:
        if unit == UNKNOWN:
            parts.append("")
        else:
            parts[-1] += known[unit]
    if len(parts) == 1:
        return _bare(parts[0]) == _bare(line)
    pattern = ".+".join(re.escape(_bare(part)) for part in parts if part or parts[-1] == part)
    return re.search(pattern, _bare(line), re.DOTALL) is not None


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _subwords(folder: Path) -> Any:
    import sentencepiece

    found = sorted(folder.glob("*.model"))
    if len(found) != 1:
        told = ", ".join(path.name for path in found) or "no spm.model"
        raise PrepareError(f"{folder} has {told}; one model of sentencepiece is expected")
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(found[0]))
    except (OSError, RuntimeError) as error:
        raise PrepareError(f"{found[0]} is no model of sentencepiece: {error}") from None


def _agree(text: _Text, subwords: Any) -> None:
    """Raise PrepareError unless the model makes the units of most sentences."""
    numbers = {word: number for number, word in enumerate(text.words)}
    same = 0
    for index, line in enumerate(text.lines()):
        pieces = subwords.encode(tidy(line), out_type=str)
        same += [numbers.get(piece, UNKNOWN) for piece in pieces] == text.units(index).tolist()
    if 2 * same < len(text.side):
        raise PrepareError(
            f"{text.folder}: the model of sentencepiece is not the one that {text.split} was "
            f"written with: of {len(text.side)} sentences it makes the same units for {same}"
        )


def _bleu(text: _Text, metric: Any) -> Iterator[str]:
    """Yield what to know of the split's BLEU; PrepareError if it could be no number."""
    references = text.lines()
    try:
        require_number(metric, references)
    except ValueError as error:
        raise PrepareError(f"{text.file}: {error}") from None
    decoded = [text.decoded(i) for i in range(len(text.side))]
    best = metric.corpus_score(decoded, [references]).score
    if best < PERFECT:
        number = sum(bool((text.units(i) == UNKNOWN).any()) for i in range(len(text.side)))
        yield (
            f"a perfect model has a BLEU of {best:.2f} on {text.split}: {number} of "
            f"{len(text.side)} references have units that the dictionary has not"
            if number
            else f"a perfect model has a BLEU of {best:.2f} on {text.split}: the text that is "
            "learned from differs from the references in spaces or forms of characters"
        )


def _compare_train(texts: list[_Text]) -> None:
    """Raise PrepareError if a training pair is no pair of lines of the text, if that is there.

    A set may leave pairs out of training, or change their order.
    """
    for text in texts:
        for index in range(len(text.side)):
            text.check_words(index, f"{text.folder / 'bin'}: sentence {index + 1} of train")
    if not all(text.file.is_file() for text in texts):
        return
    files = [map(_bare, sentences(text.file)) for text in texts]
    known = set(zip(*files, strict=False))
    for index in range(len(texts[0].side)):
        pair = tuple(_bare(text.decoded(index)) for text in texts)
        if pair not in known and not any((text.units(index) == UNKNOWN).any() for text in texts):
            raise PrepareError(
                f"pair {index + 1} of train, {_short(texts[0].decoded(index))!r} and "
                f"{_short(texts[1].decoded(index))!r}, is no pair of lines of {texts[0].file} and "
                f"{texts[1].file}; only a line feed ends a line"
            )


def _repeated(
    train: tuple[Side, Side], measured: dict[str, tuple[Side, Side]], joined: bool
) -> dict[str, int]:
    """Count training pairs that are the same on both sides, and measured ones that are in train."""
    untranslated = 0
    known = set()
    for index in range(len(train[0])):
        source, target = (side[index].tobytes() for side in train)
        untranslated += joined and source == target
        known.add((source, target))
    counts = {"untranslated": untranslated}
    for name, sides in measured.items():
        pairs = (tuple(side[i].tobytes() for side in sides) for i in range(len(sides[0])))
        counts[f"{name}_in_train"] = sum(pair in known for pair in pairs)
    return counts
