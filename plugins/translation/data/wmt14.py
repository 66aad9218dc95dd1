"""WMT14 English-German, from a copy of its files: subword units and fairseq's binary data.

Train is Europarl v7, Common Crawl and News Commentary v9, valid newstest2013, test newstest2014
(all 3003 sentences). Choices of ours, where the paper's are not known:

- No tokeniser but the subword model: sentencepiece learns 37,000 joint byte-pair units from
  natural text, so that BLEU is measured on natural text by sacrebleu. Vaswani et al. 2017 and
  fairseq's script learn about as many (37,000 and 40,000) from text that was tokenised before, and
  BLEU of tokenised text, as they report it, is another number.
- The text stays as it is except for invisible characters and runs of spaces, so that references
  need no normalisation. 0.01 % of all characters may be unknown: Common Crawl has sentences in many
  scripts, which would take thousands of units.
- Train leaves out pairs with an empty side, with a side of more than 250 units, or with one side
  more than 1.5 times as long as the other, as ``clean-corpus-n.perl -ratio 1.5 ... 1 250`` does in
  fairseq's ``prepare-wmt14en2de.sh``: many of these are misaligned. Valid and test stay whole.
- valid is newstest2013, as in Vaswani et al. 2017, not a part of train, as in fairseq's script.
"""

from __future__ import annotations

import io
import os
import re
import socket
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from plugins.contracts.copies import CopyCard, check_counts, check_folder
from plugins.contracts.dataset import PrepareError, Source
from plugins.translation.data.binary import binarise

__all__ = ["CARD", "LANGUAGES", "SOURCES", "is_clean", "prepare", "recognises", "tidy"]

SOURCES: tuple[Source, ...] = ()

CARD = CopyCard(
    task="translation",
    content="parliament, web and news sentences English-German",
    licence="free for research, see statmt.org/wmt14",
    unit="pairs",
    benchmark="WMT14 en-de",
    composed=False,
    in_domain=False,
    packages=("sacrebleu", "sentencepiece", "ve-fairseq"),
    notes=(
        "valid is newstest2013, test newstest2014, 3003 pairs; train is of other kinds of text",
        "BLEU is of natural text by sacrebleu, not of tokenised text as in most papers of the time",
        "train without pairs of more than 250 units a side or a ratio above 1.5",
    ),
    splits=("train", "valid", "test"),
    where="WMT14 is at https://www.statmt.org/wmt14/translation-task.html; unpack"
    " training-parallel-europarl-v7.tgz, training-parallel-commoncrawl.tgz and"
    " training-parallel-nc-v9.tgz in one folder, and dev.tgz and test-full.tgz too if statmt.org"
    " cannot be reached from here",
)

LANGUAGES = ("en", "de")
# Pairs of each corpus: lines of the published files.
CORPORA = {
    "europarl-v7.de-en": 1_920_209,
    "commoncrawl.de-en": 2_399_123,
    "news-commentary-v9.de-en": 201_288,
}
FOLDERS = ("", "training", "dev", "test-full", "test")
"""Folders that the archives unpack to."""

# By split: name, pairs, sacrebleu's name for it.
TEST_SETS = {
    "valid": ("newstest2013", 3_000, "wmt13"),
    "test": ("newstest2014", 3_003, "wmt14/full"),
}
OFFICIAL = CORPORA | {name: pairs for name, pairs, _ in TEST_SETS.values()}

SUBWORDS = 37_000
OUTPUTS = 37_008
"""Words of fairseq's dictionary: the units, its four marks instead of sentencepiece's three, and
what fills it up to a multiple of 8."""
COVERAGE = 0.9999
MOST_UNITS = 250
LARGEST_RATIO = 1.5
BATCH = 100_000
MOST_WORKERS = 8
DOWNLOAD_SECONDS = 60

_SEGMENT = re.compile(r"<seg[^>]*>(.*)</seg>")

Files = dict[str, Path]
"""By language."""


def recognises(folder: Path) -> bool:
    """Tell whether a folder has a file of a training corpus, in one language at least."""
    return any(_find(folder, f"{name}.{lang}") for name in CORPORA for lang in LANGUAGES)


def tidy(line: str) -> str:
    """Return a line without invisible characters, and with single spaces only."""
    return " ".join(_invisible().sub("", line).split())


@cache
def _invisible() -> re.Pattern[str]:
    """Match control and format characters, such as soft hyphens, byte order marks and joiners."""
    characters = (chr(code) for code in range(sys.maxunicode + 1))
    found = (c for c in characters if unicodedata.category(c) in ("Cc", "Cf") and not c.isspace())
    return re.compile(f"[{''.join(map(re.escape, found))}]")


def is_clean(source: list[str], target: list[str]) -> bool:
    """Tell whether a training pair, in units, is short enough and its sides similar in length."""
    short, long = sorted((len(source), len(target)))
    return short >= 1 and long <= MOST_UNITS and long <= LARGEST_RATIO * short


def prepare(copy: Path, out: Path, progress: Callable[[str], None], subset: bool = False) -> dict:
    """Check a copy of WMT14; write subword units and fairseq's binary data into `out`.

    Parameters
    ----------
    copy: Path
        The folder with the unpacked archives. newstest2013 and 2014 are taken from it, as text
        (``newstest2014.en``) or as published (``*.sgm``), or from sacrebleu, which downloads them.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.
    subset: bool
        Whether the numbers of pairs may differ from WMT14's.

    Returns
    -------
    dict
        ``items`` (pairs of each split), ``read`` (pairs of each file of the copy), ``subwords``
        (size of the joint inventory), ``official``: whether the numbers read are WMT14's.

    Raises
    ------
    PrepareError
        If a file is missing, the two sides of one differ in length, or fairseq fails.

    Notes
    -----
    ``{valid,test}.{en,de}`` is natural text, ``*.spm.*`` the same in subword units, ``spm.model``
    the units, ``bin`` what fairseq loads. Units and dictionary are learned from train alone; only
    the binary data of train are kept.
    """
    check_folder(copy, CARD)
    corpora = {name: _corpus(copy, name) for name in CORPORA}
    tests = {}
    for split, (name, _, known_as) in TEST_SETS.items():
        progress(f"looking for {name}")
        tests[split] = _given(copy, name) or _downloaded(copy, name, known_as)
    pairs = {}
    for name, files in corpora.items():
        progress(f"counting the lines of {name}")
        pairs[name] = _same(files, {lang: _count(file) for lang, file in files.items()})
    texts = {}
    for split, (name, _, _) in TEST_SETS.items():
        texts[split] = {lang: list(_sentences(file)) for lang, file in tests[split].items()}
        pairs[name] = _same(tests[split], {lang: len(t) for lang, t in texts[split].items()})
    official = check_counts(pairs, OFFICIAL, subset)

    progress("reading the training text")
    _write_train(corpora, out)
    progress(f"learning subword units from {sum(pairs[name] for name in CORPORA)} pairs")
    size = _learn_subwords(out, exactly=official)
    train = 0
    for kept in _encode_train(out):
        train += kept
        progress(f"writing subword units, {train} pairs")
    if not train:
        raise PrepareError(f"no pair of {copy} is left for training after cleaning")
    for split, sides in texts.items():
        _write_test(split, sides, out)
    for lang in LANGUAGES:
        (out / f"train.{lang}").unlink()
    progress("writing fairseq's binary data")
    workers = min(MOST_WORKERS, len(os.sched_getaffinity(0))) if official else 1
    binarise(out, LANGUAGES, ("train", *TEST_SETS), workers)
    for lang in LANGUAGES:
        (out / f"train.spm.{lang}").unlink()
    return {
        "items": {"train": train} | {split: len(sides["en"]) for split, sides in texts.items()},
        "read": pairs,
        "subwords": size,
        "official": official,
    }


def _find(copy: Path, *names: str) -> Path | None:
    """Return the first of `names` that is there, in any of the folders of the archives."""
    for folder in FOLDERS:
        for name in names:
            if (copy / folder / name).is_file():
                return copy / folder / name
    return None


def _corpus(copy: Path, name: str) -> Files:
    files = {lang: _find(copy, f"{name}.{lang}") for lang in LANGUAGES}
    if missing := [f"{name}.{lang}" for lang, file in files.items() if file is None]:
        raise PrepareError(f"{copy} has no {' and no '.join(missing)}; {CARD.where}")
    return {lang: file for lang, file in files.items() if file is not None}


def _given(copy: Path, name: str) -> Files | None:
    """Return a test set's files of the copy, None if there are none."""
    sgm = {
        "en": [f"{name}-deen-src.en.sgm", f"{name}-src.en.sgm"],
        "de": [f"{name}-deen-ref.de.sgm", f"{name}-src.de.sgm", f"{name}-ref.de.sgm"],
    }
    files = {lang: _find(copy, f"{name}.{lang}", *sgm[lang]) for lang in LANGUAGES}
    found = {lang: file for lang, file in files.items() if file is not None}
    if len(found) == 1:
        (missing,) = set(LANGUAGES) - set(found)
        raise PrepareError(f"{copy} has {name} in one language only, {name}.{missing} is missing")
    return found or None


def _downloaded(copy: Path, name: str, known_as: str) -> Files:
    """Return a test set's files in sacrebleu's store; sacrebleu downloads them if need be."""
    import sacrebleu

    pair = "-".join(LANGUAGES)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_SECONDS)  # sacrebleu alone would wait for ever
    try:
        source = sacrebleu.get_source_file(known_as, pair)
        (reference,) = sacrebleu.get_reference_files(known_as, pair)
    # sacrebleu ends the program if the file is not the one that it knows.
    except (OSError, SystemExit) as error:
        raise PrepareError(
            f"{copy} has no {name}, and sacrebleu cannot download it ({error}); put {name}.en and "
            f"{name}.de there, or unpack dev.tgz and test-full.tgz of "
            "https://www.statmt.org/wmt14/translation-task.html"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)
    return dict(zip(LANGUAGES, (Path(source), Path(reference)), strict=True))


def _count(file: Path) -> int:
    """Return the number of lines."""
    lines, last = 0, b"\n"
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines + (last != b"\n")


def _same(files: Files, lines: dict[str, int]) -> int:
    """Return the number of pairs, once both sides have as many lines."""
    if len(set(lines.values())) > 1:
        told = " and ".join(f"{files[lang]} {lines[lang]}" for lang in LANGUAGES)
        raise PrepareError(
            f"lines are no pairs: {told} lines; a download was cut, or the files are of different "
            "versions: take both from the archive again"
        )
    return lines[LANGUAGES[0]]


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open a text whose lines end only with line feeds; other separators may stand in a line."""
    try:
        with file.open(encoding="utf-8", newline="\n") as stream:
            yield stream
    except UnicodeDecodeError as error:
        raise PrepareError(f"{file} is not in UTF-8 ({error})") from error


def _sentences(file: Path) -> Iterator[str]:
    """Yield the sentences of a test set, as sacrebleu reads them."""
    with _opened(file) as stream:
        for line in stream:
            if file.suffix != ".sgm":
                yield " ".join(line.split())
            elif segment := _SEGMENT.search(line):
                yield " ".join(segment[1].split())


def _write_train(corpora: dict[str, Files], out: Path) -> None:
    """Write ``train.en`` and ``train.de``, tidied, without pairs that have an empty side."""
    with (
        (out / f"train.{LANGUAGES[0]}").open("w", encoding="utf-8", newline="\n") as sources,
        (out / f"train.{LANGUAGES[1]}").open("w", encoding="utf-8", newline="\n") as targets,
    ):
        for files in corpora.values():
            with _opened(files[LANGUAGES[0]]) as one, _opened(files[LANGUAGES[1]]) as other:
                for source, target in zip(map(tidy, one), map(tidy, other), strict=True):
                    if source and target:
                        sources.write(f"{source}\n")
                        targets.write(f"{target}\n")


def _learn_subwords(out: Path, exactly: bool) -> int:
    """Learn joint byte-pair units from train; write ``spm.model``, return their number.

    Unless it must be `exactly` 37,000, a small text gets fewer.
    """
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_lines(*(out / f"train.{lang}" for lang in LANGUAGES)),
        model_writer=model,
        model_type="bpe",
        vocab_size=SUBWORDS,
        hard_vocab_limit=exactly,
        character_coverage=COVERAGE,
        # With identity, decoding returns the text unchanged.
        normalization_rule_name="identity",
        input_sentence_size=0,
        shuffle_input_sentence=False,
        num_threads=1,
        minloglevel=2,
    )
    (out / "spm.model").write_bytes(model.getvalue())
    return _subwords(out).get_piece_size()


def _lines(*files: Path) -> Iterator[str]:
    for file in files:
        with _opened(file) as stream:
            for line in stream:
                yield line.removesuffix("\n")


def _subwords(out: Path) -> Any:
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=str(out / "spm.model"))


def _encode_train(out: Path) -> Iterator[int]:
    """Write ``train.spm.*``, the clean pairs in units; yield how many, batch by batch."""
    subwords = _subwords(out)
    with (
        _opened(out / f"train.{LANGUAGES[0]}") as sources,
        _opened(out / f"train.{LANGUAGES[1]}") as targets,
        (out / f"train.spm.{LANGUAGES[0]}").open("w", encoding="utf-8", newline="\n") as one,
        (out / f"train.spm.{LANGUAGES[1]}").open("w", encoding="utf-8", newline="\n") as other,
    ):
        while batch := list(islice(sources, BATCH)):
            texts = batch, list(islice(targets, BATCH))
            units = [
                subwords.encode([line.removesuffix("\n") for line in lines], out_type=str)
                for lines in texts
            ]
            kept = [pair for pair in zip(*units, strict=True) if is_clean(*pair)]
            one.writelines(f"{' '.join(source)}\n" for source, _ in kept)
            other.writelines(f"{' '.join(target)}\n" for _, target in kept)
            yield len(kept)


def _write_test(split: str, sides: dict[str, list[str]], out: Path) -> None:
    """Write a test set as natural text and in units."""
    subwords = _subwords(out)
    for lang, sentences in sides.items():
        units = [" ".join(subwords.encode(tidy(line), out_type=str)) for line in sentences]
        for path, lines in ((f"{split}.{lang}", sentences), (f"{split}.spm.{lang}", units)):
            content = "".join(f"{line}\n" for line in lines)
            (out / path).write_text(content, encoding="utf-8", newline="\n")
