"""A user's own pairs of sentences, as a data set: ``study data add sentences NAME --from DIR``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TextIO

from pydantic import Field, field_validator

from plugins.contracts.dataset import PrepareError
from plugins.contracts.doors import Door, DoorOptions
from plugins.translation.data.binary import binarise
from plugins.translation.data.cleaning import Cleaning
from plugins.translation.data.indexed import MAX_POSITIONS
from plugins.translation.data.subwords import encode_train, inventory, learn, write_split
from plugins.translation.data.text import Files, count, pairs, sentences

__all__ = ["Sentences", "SentencesOptions"]

LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*")
NAMES = {"train": ("train",), "valid": ("valid", "val", "dev"), "test": ("test",)}
"""What the files of a split may be called."""

HELD_OUT = 2, 3000
"""Sentences that are held out at least and at most."""
MOST_CHARACTERS = 1000
"""Of a sentence that is held out: a unit is a character at least, so the model can read it."""

Pair = tuple[str, str]


class SentencesOptions(DoorOptions):
    """What a user may say of pairs of sentences."""

    languages: str = Field("", description="source and target, such as en-de or en,zh-CN")
    units: int = Field(4000, ge=10, description="joint subword units to learn")
    coverage: float = Field(1.0, gt=0.9, le=1, description="share of characters that get units")
    max_units: int = Field(
        MAX_POSITIONS - 1,
        ge=1,
        lt=MAX_POSITIONS,
        description="of a side; longer pairs are left out of train",
    )
    valid_share: float = Field(0.02, gt=0, lt=0.5, description="of train, if there is no valid")
    test_share: float = Field(0, ge=0, lt=0.5, description="of train, if there is no test")

    @field_validator("languages")
    @classmethod
    def _two(cls, text: str) -> str:
        found = _languages(text)
        if text and (len(found) != 2 or not all(map(LANGUAGE.fullmatch, found))):
            raise ValueError("two languages are expected, such as en-de or en,zh-CN")
        if text and found[0] == found[1]:
            raise ValueError("source and target are the same language")
        return text


def _languages(text: str) -> list[str]:
    return text.split(",") if "," in text else text.split("-")


class Sentences(Door):
    """Takes in two text files a split, a sentence a line, line by line translations."""

    task: ClassVar[str] = "translation"
    Options: ClassVar[type[DoorOptions]] = SentencesOptions
    content: ClassVar[str] = "pairs of sentences"
    unit: ClassVar[str] = "pairs"
    splits: ClassVar[tuple[str, ...]] = ("train", "valid", "test")
    packages: ClassVar[tuple[str, ...]] = ("sentencepiece", "ve-fairseq")
    where: ClassVar[str] = (
        "a folder with train.SOURCE and train.TARGET is expected, such as train.en and train.de, "
        "a sentence a line, and valid.* and test.* likewise if you have them"
    )

    def prepare(
        self, copy: Path, out: Path, options: Any, progress: Callable[[str], None]
    ) -> dict[str, Any]:
        """Write text, subword units and fairseq's binary data; see `Door.prepare`.

        Line i of the source stays with line i of the target. Units and dictionary are learned from
        train alone. Of train only the binary data are kept.
        """
        if not copy.is_dir():
            raise PrepareError(f"{copy} is no folder; {self.where}")
        found = self._find(copy, options)
        # In fairseq's file names a hyphen stands between the languages.
        one, other = (language.replace("-", "_") for language in found["train"])
        languages = one, other
        given = {
            split: dict(zip(languages, files.values(), strict=True))
            for split, files in found.items()
        }
        for files in given.values():
            pairs({file: count(file) for file in files.values()})
        cleaning = Cleaning()
        progress("reading the training text")
        _write_train(cleaning.pairs(given["train"]), languages, out)
        held = {
            split: list(cleaning.whole_pairs(given[split])) for split in given if split != "train"
        }
        shares = {"valid": options.valid_share, "test": options.test_share}
        shares = {split: share for split, share in shares.items() if share and split not in held}
        if shares:
            progress("holding pairs out")
            held |= _hold_out(out, languages, shares)
        notes = [f"translates {one} to {other}"] if not options.languages else []
        notes += [f"{split} is {len(held[split])} pairs of train, held out" for split in shares]
        notes += cleaning.told()
        progress("learning subword units")
        text = chain.from_iterable(sentences(out / f"train.{lang}") for lang in languages)
        subwords = learn(text, out, options.units, options.coverage, hard_vocab_limit=False)
        if (size := subwords.get_piece_size()) < options.units:
            notes.append(f"{size} units were learned: train is too small for {options.units}")
        total = count(out / f"train.{one}")
        train = _encode(out, languages, subwords, options.max_units, progress)
        if train < total:
            notes.append(
                f"{total - train} of {total} training pairs are longer than {options.max_units} "
                "units and are left out"
            )
        for split, texts in held.items():
            sides = dict(zip(languages, map(list, zip(*texts, strict=True)), strict=True))
            write_split(out, split, sides, subwords)
        progress("writing fairseq's binary data")
        binarise(out, languages, ("train", *held), units=inventory(subwords))
        for language in languages:
            (out / f"train.{language}").unlink()
            (out / f"train.spm.{language}").unlink()
        return {
            "items": {"train": train, "test": 0} | {split: len(held[split]) for split in held},
            "languages": list(languages),
            "units": size,
            "without_a_side": cleaning.empty,
            "notes": notes,
        }

    def _find(self, copy: Path, options: SentencesOptions) -> dict[str, Files]:
        """Return the files of each split that is there, by language, the source first."""
        suffixes = {path.name.partition(".")[2] for path in copy.glob("train.*") if path.is_file()}
        found = sorted(filter(LANGUAGE.fullmatch, suffixes))
        wanted = _languages(options.languages) if options.languages else found
        if len(wanted) != 2:
            told = ", ".join(f"train.{suffix}" for suffix in found) or "no train.LANGUAGE"
            hint = "; say which two: -o languages=SOURCE-TARGET" if len(found) > 2 else ""
            raise PrepareError(f"{copy} has {told}{hint}; {self.where}")
        files: dict[str, Files] = {}
        for split, names in NAMES.items():
            there = [
                name for name in names if any((copy / f"{name}.{lang}").exists() for lang in wanted)
            ]
            if len(there) > 1:
                raise PrepareError(f"{copy} has both {there[0]}.* and {there[1]}.*; keep one")
            if split == "train" or there:
                name = there[0] if there else "train"
                files[split] = {lang: copy / f"{name}.{lang}" for lang in wanted}
                for file in files[split].values():
                    if not file.is_file():
                        raise PrepareError(f"{file} is missing; {self.where}")
        return files


def _write_train(found: Iterator[Pair], languages: Pair, out: Path) -> None:
    """Write ``train.*``; PrepareError if there is no pair."""
    number = 0
    with ExitStack() as stack:
        files = [stack.enter_context(_new(out / f"train.{language}")) for language in languages]
        for pair in found:
            for file, line in zip(files, pair, strict=True):
                file.write(f"{line}\n")
            number += 1
    if not number:
        raise PrepareError("train has no pair with two sides: its files are empty, or one is")


def _new(file: Path) -> TextIO:
    return file.open("w", encoding="utf-8", newline="\n")


def _encode(
    out: Path, languages: Pair, subwords: Any, most: int, progress: Callable[[str], None]
) -> int:
    """Write ``train.spm.*``; return the number of pairs that have at most so many units."""

    def fits(source: list[str], target: list[str]) -> bool:
        return max(len(source), len(target)) <= most

    train = 0
    for kept in encode_train(out, languages, subwords, fits):
        train += kept
        progress(f"writing subword units, {train} pairs")
    if not train:
        raise PrepareError(f"each pair of train has more than {most} units a side")
    return train


def _hold_out(out: Path, languages: Pair, shares: dict[str, float]) -> dict[str, list[Pair]]:
    """Take pairs out of ``train.*``, those of one source together; return them by split.

    Which ones depends on the text alone, and looks random.
    """

    def text() -> Iterator[tuple[bytes, Pair]]:
        sides = (sentences(out / f"train.{language}") for language in languages)
        for source, target in zip(*sides, strict=True):
            yield hashlib.sha256(source.encode()).digest()[:8], (source, target)

    all_of, long = set(), set()
    for key, pair in text():
        all_of.add(key)
        if max(map(len, pair)) > MOST_CHARACTERS:
            long.add(key)
    ranked = sorted(all_of - long)
    chosen: dict[bytes, str] = {}
    for split, share in shares.items():
        number = min(max(round(share * len(all_of)), HELD_OUT[0]), HELD_OUT[1])
        chosen |= dict.fromkeys(ranked[len(chosen) : len(chosen) + number], split)
    if len(chosen) < HELD_OUT[0] * len(shares) or len(chosen) >= len(all_of):
        raise PrepareError(
            f"train has {len(all_of)} different sources, too few to hold out "
            f"{' and '.join(shares)}; give {next(iter(shares))}.* files of their own"
        )
    held: dict[str, list[Pair]] = {split: [] for split in shares}

    def kept() -> Iterator[Pair]:
        for key, pair in text():
            if key in chosen:
                held[chosen[key]].append(pair)
            else:
                yield pair

    rest = out / "rest"
    rest.mkdir()
    _write_train(kept(), languages, rest)
    for language in languages:
        (rest / f"train.{language}").replace(out / f"train.{language}")
    rest.rmdir()
    return held
