"""How many batches fairseq makes of a prepared data set, without fairseq."""

from __future__ import annotations

from pathlib import Path

__all__ = ["batches"]


def batches(data: Path, most_tokens: int) -> int:
    """Return the number of batches of the training pairs.

    fairseq sorts pairs by length and fills each batch until, padded to its longest side, it would
    have more than `most_tokens` tokens. Pairs of equal lengths come in any order, which changes
    nothing here.

    Parameters
    ----------
    data: Path
        Folder of the prepared data set, with the training pairs in subword units.
    most_tokens: int
        The recipe's ``tokens_per_batch``.
    """
    english, german = (_lengths(data / f"train.spm.{language}") for language in ("en", "de"))
    count, sentences, longest = 0, 0, 0
    for pair in sorted(zip(english, german, strict=True)):
        longest = max(longest, *pair)
        sentences += 1
        if count == 0 or sentences * longest > most_tokens:
            count, sentences, longest = count + 1, 1, max(pair)
    return count


def _lengths(path: Path) -> list[int]:
    """Return the tokens of each line, fairseq's end of a sentence among them."""
    with path.open(encoding="utf-8") as lines:
        return [len(line.split()) + 1 for line in lines]
