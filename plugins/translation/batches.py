"""How many batches fairseq makes of a prepared data set, without fairseq."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plugins.contracts.dataset import PrepareError
from plugins.translation.data.indexed import MAX_POSITIONS, languages, split

__all__ = ["batches", "left_out"]


def batches(data: Path, most_tokens: int) -> int:
    """Return the number of batches of the training pairs.

    fairseq sorts pairs by length and fills each batch until, padded to its longest side, it would
    have more than `most_tokens` tokens. Pairs of equal lengths come in any order, which changes
    nothing here. Pairs that do not fit into the model or into a batch are left out.

    Parameters
    ----------
    data: Path
        Folder of the prepared data set.
    most_tokens: int
        The recipe's ``tokens_per_batch``.
    """
    sizes, fits = _sizes(data, most_tokens)
    count, sentences, longest = 0, 0, 0
    for pair in sorted(map(tuple, sizes[fits].tolist())):
        longest = max(longest, *pair)
        sentences += 1
        if count == 0 or sentences * longest > most_tokens:
            count, sentences, longest = count + 1, 1, max(pair)
    return count


def left_out(data: Path, most_tokens: int) -> tuple[int, int]:
    """Return how many training pairs fairseq leaves out as too long, and how many there are."""
    _, fits = _sizes(data, most_tokens)
    return int((~fits).sum()), len(fits)


def _sizes(data: Path, most_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of each training pair, (N, 2), and whether it fits, (N,)."""
    sides = split(data, "train", languages(data))
    if sides is None:
        raise PrepareError(f"{data / 'bin'} has no split train")
    sizes = np.stack([side.sizes for side in sides], axis=1)
    return sizes, sizes.max(axis=1) <= min(MAX_POSITIONS, most_tokens)
