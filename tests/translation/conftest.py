"""A tiny language pair: numbers read out, English to German."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
import torch

# The tests share a module; pytest's importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

PAIRS = dict(
    zip(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
        ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
        strict=True,
    )
)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def numbers(tmp_path_factory) -> Path:
    """A data folder laid out like that of ``software-en-de``."""
    from small_translation import SIZES, fairseq

    from plugins.translation.data.subwords import learn

    folder = tmp_path_factory.mktemp("numbers")
    chance = random.Random(0)
    for split, size in SIZES.items():
        english = [chance.choices(list(PAIRS), k=chance.randint(2, 7)) for _ in range(size)]
        german = [[PAIRS[word] for word in sentence] for sentence in english]
        for language, sentences in (("en", english), ("de", german)):
            for suffix, mark in ((language, ""), (f"spm.{language}", "▁")):
                lines = [" ".join(mark + word for word in sentence) for sentence in sentences]
                (folder / f"{split}.{suffix}").write_text("\n".join(lines) + "\n", "utf-8")
    command = ["preprocess", "--source-lang", "en", "--target-lang", "de", "--joined-dictionary"]
    for split in SIZES:
        command += [f"--{split}pref", str(folder / f"{split}.spm")]
    fairseq(*command, "--destdir", str(folder / "bin"))
    text = (
        (folder / f"train.{language}").read_text("utf-8").split("\n") for language in ("en", "de")
    )
    learn((line for lines in text for line in lines), folder, 400, hard_vocab_limit=False)
    return folder
