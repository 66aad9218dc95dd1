"""English-German sentences from the translation catalogues of Home Assistant and pretix.

Both catalogues are translated by people and licensed under Apache-2.0 (pretix's code is not; its
``locale`` folder is). The set has natural text for detokenised BLEU, the same text in subword
units, and fairseq's binary form of the latter.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from plugins.contracts.dataset import Card, Source
from plugins.translation.data.binary import binarise
from plugins.translation.data.catalogs import Pair, clean, gettext_pairs, json_pairs
from plugins.translation.data.leakage import split
from plugins.translation.data.subwords import learn, write_split
from plugins.translation.data.text import write

__all__ = ["CARD", "LANGUAGES", "SOURCES", "prepare"]

HOME_ASSISTANT = Source(
    package="homeassistant",
    version="2026.2.3",
    file="homeassistant-2026.2.3-py3-none-any.whl",
    sha256="8167820cac4b8defe895fd2c36ac23402a445d1fe6028e8cde24caabb935282c",
    size=51_240_053,
    ignore_requires_python=True,
)
PRETIX = Source(
    package="pretix",
    version="2026.8.0",
    file="pretix-2026.8.0-py3-none-any.whl",
    sha256="a78932e698778d873530d67f25a57c28d1c09b1bfb1a22ec817c00d90397db85",
    size=39_528_456,
)
SOURCES = (HOME_ASSISTANT, PRETIX)
PRETIX_CATALOGUES = tuple(
    f"pretix/locale/de/LC_MESSAGES/{name}.mo" for name in ("django", "djangojs")
)

CARD = Card(
    task="translation",
    content="software translations English-German",
    licence="Apache-2.0",
    unit="pairs",
    benchmark="WMT14",
    composed=False,
    in_domain=True,
    packages=("sentencepiece", "ve-fairseq"),
    notes=(
        "short sentences of user interfaces, one register; software repeats itself, so BLEU"
        " flatters",
        "near-duplicates never span splits, but the search for them is not airtight",
        "valid and test hold sentences of at least 4 tokens and are longer than train on average",
    ),
    splits=("train", "valid", "test"),
)

LANGUAGES = ("en", "de")
HELD_OUT = 1000
SUBWORDS = 4000


def _read(sources: Mapping[str, Path]) -> list[Pair]:
    with zipfile.ZipFile(sources[HOME_ASSISTANT.package]) as wheel:
        pairs = list(json_pairs(wheel))
    with zipfile.ZipFile(sources[PRETIX.package]) as wheel:
        for name in PRETIX_CATALOGUES:
            pairs += gettext_pairs(wheel.read(name))
    return clean(pairs)


def prepare(sources: Mapping[str, Path], out: Path, progress: Callable[[str], None]) -> dict:
    """Write text, subword units and fairseq's binary data into the folder `out`.

    Parameters
    ----------
    sources: mapping of str to Path
        The verified wheel of each package in `SOURCES`.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.

    Returns
    -------
    dict
        ``items`` (pairs of each split), ``english_words`` (mean tokens of an English sentence
        of each split) and ``subwords`` (size of the joint inventory).

    Raises
    ------
    PrepareError
        If fairseq cannot binarise the text.

    Notes
    -----
    ``{train,valid,test}.{en,de}`` is natural text, ``*.spm.*`` the same in subword units,
    ``spm.model`` the units, ``bin`` what fairseq loads. Units and dictionary are learned from train
    alone.
    """
    progress("reading the catalogues")
    pairs = _read(sources)
    progress(f"grouping {len(pairs)} pairs")
    splits = split(pairs, HELD_OUT)
    progress("learning subword units")
    text = (sentence for pair in splits["train"] for sentence in pair)
    subwords = learn(text, out, SUBWORDS)
    write(out / "spm.vocab", map(subwords.id_to_piece, range(subwords.get_piece_size())))
    for name, kept in splits.items():
        sides = {lang: [pair[side] for pair in kept] for side, lang in enumerate(LANGUAGES)}
        write_split(out, name, sides, subwords)
    progress("writing fairseq's binary data")
    binarise(out, LANGUAGES, tuple(splits))
    return {
        "items": {name: len(kept) for name, kept in splits.items()},
        "english_words": {
            name: round(sum(len(pair.en.split()) for pair in kept) / len(kept), 2)
            for name, kept in splits.items()
        },
        "subwords": subwords.get_piece_size(),
    }
