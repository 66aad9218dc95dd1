"""BLEU of detokenised text, in the words of its language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["PERFECT", "bleu_of", "require_number"]

SAME = {"zho": "zh", "cmn": "zh", "yue": "zh", "jpn": "ja", "kor": "ko"}
"""Other codes of the languages for which sacrebleu has words of their own."""

WITHOUT_SPACES = ("bo", "km", "lo", "my", "th")
"""Languages without spaces between words, and without a tokeniser here: their characters count."""

PERFECT = 99.99
"""What BLEU of a text against itself is at least, but for rounding."""


def bleu_of(language: str) -> Any:
    """Return sacrebleu's metric for a target language.

    Its tokens are those of sacrebleu's own choice: 13a unless the language is Chinese, Japanese or
    Korean.

    Parameters
    ----------
    language: str
        Its code, perhaps with a region: ``de``, ``zh_CN``.

    Raises
    ------
    ValueError
        If what splits the language into words is not installed.
    """
    import sacrebleu

    code = re.split("[-_]", language.lower())[0]
    code = SAME.get(code, code)
    if code in WITHOUT_SPACES:
        return sacrebleu.BLEU(tokenize="char")
    try:
        return sacrebleu.BLEU(trg_lang=code)
    except (ImportError, RuntimeError) as error:
        raise ValueError(
            f"BLEU of the target language {language} needs words, and what finds them is not "
            f"installed: pip install 'sacrebleu[{code}]'"
        ) from error


def require_number(metric: Any, references: Sequence[str]) -> None:
    """Raise ValueError if not even the references themselves have a BLEU of 100."""
    own = metric.corpus_score(list(references), [list(references)]).score
    if own < PERFECT:
        raise ValueError(
            "BLEU counts runs of four words, and no reference has four words: it would be "
            f"{own:g} for perfect translations"
        )
