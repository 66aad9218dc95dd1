"""Small folders of a user's own pairs, and what a perfect model would score on a set."""

from __future__ import annotations

import random
from pathlib import Path

import small_translation as small

ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FRENCH = ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf")
SIZES = {"train": 120, "valid": 12, "test": 8}


def write(file: Path, lines: list[str]) -> None:
    file.write_bytes("".join(f"{line}\n" for line in lines).encode())


def lines(file: Path) -> list[str]:
    return file.read_bytes().decode().split("\n")[:-1]


def edit(file: Path, number: int, change) -> None:
    """Change a line, counted from 1."""
    found = lines(file)
    found[number - 1] = change(found[number - 1])
    write(file, found)


def own_files(folder: Path, sizes: dict[str, int] = SIZES) -> Path:
    """Numbers read out in English and French."""
    chance = random.Random(0)
    folder.mkdir(parents=True)
    for split, size in sizes.items():
        numbers = [chance.choices(range(10), k=chance.randint(4, 8)) for _ in range(size)]
        for language, words in (("en", ENGLISH), ("fr", FRENCH)):
            write(folder / f"{split}.{language}", [" ".join(words[i] for i in n) for n in numbers])
    return folder


def binarise_here(
    out: Path, languages: tuple[str, str], splits, workers: int = 1, units=()
) -> None:
    """Run fairseq-preprocess in this process: starting one takes longer than such a small set."""
    from fairseq_cli import preprocess

    arguments = ["--source-lang", languages[0], "--target-lang", languages[1]]
    arguments += ["--joined-dictionary", "--destdir", str(out / "bin")]
    for name in splits:
        arguments += [f"--{name}pref", str(out / f"{name}.spm")]
    if units:
        write(out / "units.txt", [f"{unit} 1" for unit in units])
        arguments += ["--srcdict", str(out / "units.txt")]
    preprocess.main(preprocess.options.get_preprocessing_parser().parse_args(arguments))


def binarised(data: Path, split: str, languages: tuple[str, str]) -> list[tuple[str, str]]:
    """The pairs of a split as fairseq loads them, in natural text."""
    from fairseq.data import Dictionary, data_utils

    sides = []
    for language in languages:
        dictionary = Dictionary.load(str(data / "bin" / f"dict.{language}.txt"))
        prefix = data / "bin" / f"{split}.{'-'.join(languages)}.{language}"
        found = data_utils.load_indexed_dataset(str(prefix), dictionary)
        sides.append([dictionary.string(line, "sentencepiece") for line in found])
    return list(zip(*sides, strict=True))


def perfect_bleu(data: Path, folder: Path, split: str = "valid", **recipe) -> float:
    """BLEU by the product's own evaluation, of a model that writes the references."""
    from plugins.translation.evaluation import Evaluation
    from plugins.translation.train import build

    job = small.job(folder, data, **{"evaluation_sentences": None, **recipe})
    _, task, model = build(job)
    task.inference_step = lambda generator, models, sample: [
        [{"tokens": line[line != task.target_dictionary.pad()]}] for line in sample["target"]
    ]
    return Evaluation(task, job.recipe.model_copy(update={"evaluation_split": split}), data).bleu(
        model
    )
