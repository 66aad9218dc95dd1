"""Translation catalogues as pairs of sentences: Home Assistant's JSON, gettext's .mo.

Text is kept as it is written (case, punctuation, placeholders). An entry of several lines or
sentences is split where both sides have the same number of them.
"""

from __future__ import annotations

import json
import re
import struct
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["Pair", "clean", "gettext_pairs", "json_pairs", "words"]


class Pair(NamedTuple):
    """An English sentence and its German translation."""

    en: str
    de: str


# What a program fills in or a browser renders; it must be the same on both sides.
PLACEHOLDER = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|\{[^{}]*\}"  # Jinja, str.format
    r"|%\([^()]*\)[a-z]|%[sdif]"  # printf
    r"|</?[A-Za-z][^<>]*>"  # HTML
    r"|https?://[^\s)\]>\"']+"
)
WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-ZÄÖÜ*{\[])")

# Lengths are in whitespace-separated tokens: a placeholder stands for a word.
MIN_ENGLISH_TOKENS = 3
MAX_TOKENS = 80
# German tokens for each English one.
LENGTH_RATIO = (0.4, 2.5)
# A translation that repeats more than this share of the English words was left untranslated.
MAX_SHARED = 0.6

_MO_MAGIC = 0x950412DE


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without placeholders, numbers and punctuation."""
    return WORD.findall(PLACEHOLDER.sub(" ", text).lower())


def _one_line(text: str) -> str:
    """Join the lines of a text and drop invisible format characters such as soft hyphens."""
    visible = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return " ".join(unicodedata.normalize("NFC", visible).split())


def _strings(tree: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _strings(value, (*path, key))
    elif isinstance(tree, str):
        yield path, tree


def json_pairs(wheel: zipfile.ZipFile) -> Iterator[Pair]:
    """Yield the pairs of all ``translations/en.json`` and ``de.json`` of an open wheel.

    A pair shares its path through the two trees of nested objects.
    """
    names = set(wheel.namelist())
    for english in sorted(name for name in names if name.endswith("/translations/en.json")):
        german = english.removesuffix("en.json") + "de.json"
        if german in names:
            translated = dict(_strings(json.loads(wheel.read(german))))
            for path, text in _strings(json.loads(wheel.read(english))):
                if path in translated:
                    yield Pair(text, translated[path])


def gettext_pairs(content: bytes) -> Iterator[Pair]:
    """Yield the pairs of a little-endian .mo file with English ids, in the order of the file.

    In a plural entry the English singular goes with the first German form, and the English plural
    with the second. The format: https://www.gnu.org/software/gettext/manual/html_node/MO-Files.html

    Raises
    ------
    ValueError
        If the content is no .mo file.
    """
    magic, _, count, ids, translations = struct.unpack_from("<5I", content)
    if magic != _MO_MAGIC:
        raise ValueError("not a little-endian .mo file")

    def text(table: int, index: int) -> str:
        length, offset = struct.unpack_from("<2I", content, table + 8 * index)
        return content[offset : offset + length].decode("utf-8")

    for index in range(count):
        # A context ends with \x04; the entry with an empty id is the header.
        english = text(ids, index).rpartition("\x04")[2]
        if english:
            forms = text(translations, index).split("\0")
            for one, other in zip(english.split("\0"), forms, strict=False):
                yield Pair(one, other)


def _split(pair: Pair, boundary: re.Pattern[str]) -> list[Pair]:
    """Split both sides at a boundary; leave the pair whole if that gives unequal numbers."""
    english, german = (
        [part for part in boundary.split(side) if part.strip()] for side in (pair.en, pair.de)
    )
    if len(english) != len(german):
        return [pair]
    return [Pair(*parts) for parts in zip(english, german, strict=True)]


def _sentences(pair: Pair) -> Iterator[Pair]:
    for line in _split(pair, re.compile(r"\n")):
        for sentence in _split(line, SENTENCE_END):
            yield Pair(_one_line(sentence.en), _one_line(sentence.de))


def _acceptable(pair: Pair) -> bool:
    lengths = [len(side.split()) for side in pair]
    if lengths[0] < MIN_ENGLISH_TOKENS or max(lengths) > MAX_TOKENS:
        return False
    if not LENGTH_RATIO[0] <= lengths[1] / lengths[0] <= LENGTH_RATIO[1]:
        return False
    if Counter(PLACEHOLDER.findall(pair.en)) != Counter(PLACEHOLDER.findall(pair.de)):
        return False
    # What remains without the placeholders must not be a template itself (nested braces).
    if any(sign in PLACEHOLDER.sub("", side) for side in pair for sign in ("{", "}", "[%")):
        return False
    english, german = set(words(pair.en)), set(words(pair.de))
    return bool(english and german) and len(english & german) / len(english) <= MAX_SHARED


def clean(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the distinct usable pairs of sentences, one German for each English one.

    If translators disagree, the most frequent German sentence wins; on a tie, the earlier one.
    """
    found: dict[str, Counter[str]] = {}
    for pair in pairs:
        for sentence in _sentences(pair):
            if _acceptable(sentence):
                found.setdefault(sentence.en, Counter())[sentence.de] += 1
    return [Pair(english, german.most_common(1)[0][0]) for english, german in found.items()]
