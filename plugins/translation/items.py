"""What BLEU is made of, sentence by sentence: sacrebleu's own statistics. Imports no framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from plugins.contracts.items import ITEMS

if TYPE_CHECKING:
    import numpy as np

    from plugins.contracts.items import Arrays

__all__ = ["bleu_of_samples", "statistics"]

LENGTHS = ("translation_length", "reference_length")


def statistics(
    metric: Any, translations: Sequence[str], references: Sequence[str]
) -> dict[str, np.ndarray[Any, Any]]:
    """Return what sacrebleu counts of each sentence, in (N,) or (N, 4) whole numbers.

    Parameters
    ----------
    metric: sacrebleu.BLEU
        Decides on the words.
    translations, references: sequence of str
        N of each.

    Returns
    -------
    dict
        ``item``, the number of each sentence; ``translation_length`` and ``reference_length`` in
        words; ``right`` and ``said``, of runs of one to four words how many are in the reference
        too, and how many there are.
    """
    import numpy as np

    counted = np.array(metric._extract_corpus_statistics(translations, [references]), np.uint32)
    right, said = np.split(counted[:, len(LENGTHS) :], 2, axis=1)
    lengths = dict(zip(LENGTHS, counted.T, strict=False))
    return {ITEMS: np.arange(len(counted)), **lengths, "right": right, "said": said}


def bleu_of_samples(
    items: Arrays, weights: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return sacrebleu's BLEU of each sample of sentences, in [0, 100]; see `CountsItems`.

    NaN if the references of a sample have no word.
    """
    import numpy as np
    from sacrebleu import BLEU

    names = (*LENGTHS, "right", "said")
    # Floats add up faster, and these sums are exact.
    sums = [(weights.astype(float) @ items[name].astype(float)).astype(int) for name in names]
    found = np.full(len(weights), np.nan)
    for sample, (length, reference, right, said) in enumerate(zip(*sums, strict=True)):
        if reference:
            found[sample] = BLEU.compute_bleu(
                right.tolist(), said.tolist(), int(length), int(reference), smooth_method="exp"
            ).score
    return found
