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

import os
import re
import socket
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from plugins.contracts.copies import CopyCard, check_counts, check_folder
from plugins.contracts.dataset import PrepareError, Source
from plugins.translation.data.binary import binarise
from plugins.translation.data.subwords import encode_train, learn, write_split
from plugins.translation.data.text import Files, count, pairs, sentences, tidy

__all__ = ["CARD", "LANGUAGES", "SOURCES", "is_clean", "prepare", "recognises"]

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
MOST_WORKERS = 8
DOWNLOAD_SECONDS = 60

_SEGMENT = re.compile(r"<seg[^>]*>(.*)</seg>")


def recognises(folder: Path) -> bool:
    """Tell whether a folder has a file of a training corpus, in one language at least."""
    return any(_find(folder, f"{name}.{lang}") for name in CORPORA for lang in LANGUAGES)


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
    found = {}
    for name, files in corpora.items():
        progress(f"counting the lines of {name}")
        found[name] = pairs({file: count(file) for file in files.values()})
    texts = {}
    for split, (name, _, _) in TEST_SETS.items():
        texts[split] = {lang: list(_sentences(file)) for lang, file in tests[split].items()}
        lines = map(len, texts[split].values())
        found[name] = pairs(dict(zip(tests[split].values(), lines, strict=True)))
    official = check_counts(found, OFFICIAL, subset)

    progress("reading the training text")
    _write_train(corpora, out)
    progress(f"learning subword units from {sum(found[name] for name in CORPORA)} pairs")
    text = chain.from_iterable(sentences(out / f"train.{lang}") for lang in LANGUAGES)
    subwords = learn(text, out, SUBWORDS, COVERAGE, hard_vocab_limit=official)
    train = 0
    for kept in encode_train(out, LANGUAGES, subwords, is_clean):
        train += kept
        progress(f"writing subword units, {train} pairs")
    if not train:
        raise PrepareError(f"no pair of {copy} is left for training after cleaning")
    for split, sides in texts.items():
        write_split(out, split, sides, subwords)
    for lang in LANGUAGES:
        (out / f"train.{lang}").unlink()
    progress("writing fairseq's binary data")
    workers = min(MOST_WORKERS, len(os.sched_getaffinity(0))) if official else 1
    binarise(out, LANGUAGES, ("train", *TEST_SETS), workers)
    for lang in LANGUAGES:
        (out / f"train.spm.{lang}").unlink()
    return {
        "items": {"train": train} | {split: len(sides["en"]) for split, sides in texts.items()},
        "read": found,
        "subwords": subwords.get_piece_size(),
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


def _sentences(file: Path) -> Iterator[str]:
    """Yield the sentences of a test set, as sacrebleu reads them."""
    for line in sentences(file):
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
            one, other = (map(tidy, sentences(files[lang])) for lang in LANGUAGES)
            for source, target in zip(one, other, strict=True):
                if source and target:
                    sources.write(f"{source}\n")
                    targets.write(f"{target}\n")
