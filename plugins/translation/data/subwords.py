"""Joint byte-pair units of both languages: learned from train alone, and what text becomes in them.

``<split>.<language>`` is natural text, ``<split>.spm.<language>`` the same in units, ``spm.model``
the units.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from plugins.contracts.dataset import PrepareError
from plugins.translation.data.text import sentences, tidy, write

__all__ = ["encode_train", "inventory", "learn", "write_split"]

BATCH = 100_000
TOO_FEW = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")


def learn(
    lines: Iterable[str], out: Path, units: int, coverage: float = 1.0, **options: Any
) -> Any:
    """Learn byte-pair units; write ``spm.model``, return sentencepiece's processor.

    Parameters
    ----------
    lines: iterable of str
        The text, tidied.
    out: Path
        Folder of ``spm.model``.
    units: int
        How many.
    coverage: float
        Share of all characters that are known.
    **options
        Of sentencepiece: with ``hard_vocab_limit=False`` a small text gets fewer units. The model
        file has in it what is said here, even if that is the default.

    Raises
    ------
    PrepareError
        If so many cannot be learned from the text.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="bpe",
            vocab_size=units,
            character_coverage=coverage,
            # With identity, decoding returns the text unchanged.
            normalization_rule_name="identity",
            input_sentence_size=0,
            shuffle_input_sentence=False,
            num_threads=1,
            minloglevel=2,
            **options,
        )
    except RuntimeError as error:
        if few := TOO_FEW.search(str(error)):
            raise PrepareError(
                f"{units} units are too few: the training text has so many different characters "
                f"that {few[1]} are needed at least; ask for more units, or cover fewer characters"
            ) from None
        raise PrepareError(
            f"no {units} units can be learned from the training text, which may be too small or "
            f"have too long lines; sentencepiece says: {error}"
        ) from None
    (out / "spm.model").write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def inventory(subwords: Any) -> list[str]:
    """Return the units that text can consist of: without sentencepiece's marks."""
    return [
        subwords.id_to_piece(number)
        for number in range(subwords.get_piece_size())
        if not (subwords.is_control(number) or subwords.is_unknown(number))
    ]


def encode_train(
    out: Path,
    languages: tuple[str, str],
    subwords: Any,
    keep: Callable[[list[str], list[str]], bool],
) -> Iterator[int]:
    """Write ``train.spm.*`` of ``train.*``; yield how many pairs are kept, batch by batch.

    Parameters
    ----------
    out: Path
        Folder of both.
    languages: (str, str)
        Source and target.
    subwords: sentencepiece.SentencePieceProcessor
        The units.
    keep: callable
        Tells of a source and a target, in units, whether they stay.
    """
    source, target = (sentences(out / f"train.{language}") for language in languages)
    with (
        (out / f"train.spm.{languages[0]}").open("w", encoding="utf-8", newline="\n") as one,
        (out / f"train.spm.{languages[1]}").open("w", encoding="utf-8", newline="\n") as other,
    ):
        while batch := list(islice(source, BATCH)):
            texts = batch, list(islice(target, BATCH))
            units = [subwords.encode(lines, out_type=str) for lines in texts]
            kept = [pair for pair in zip(*units, strict=True) if keep(*pair)]
            one.writelines(f"{' '.join(source)}\n" for source, _ in kept)
            other.writelines(f"{' '.join(target)}\n" for _, target in kept)
            yield len(kept)


def write_split(out: Path, split: str, sides: Mapping[str, Sequence[str]], subwords: Any) -> None:
    """Write a split, by language, as natural text and in units."""
    for language, lines in sides.items():
        units = (" ".join(subwords.encode(tidy(line), out_type=str)) for line in lines)
        write(out / f"{split}.{language}", lines)
        write(out / f"{split}.spm.{language}", units)
