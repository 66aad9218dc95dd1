"""A tiny set: one or two squares of some colours on noise, questions about them, and phrases.

As a script, DATA FOLDER GOAL, it trains as one of the processes that torch's variables tell of.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.registry import MODELS, init_default_scope

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.question_answering import config
from plugins.question_answering.data.layout import write_lines, write_phrases, write_questions
from plugins.question_answering.data.rows import Phrase, Question
from plugins.question_answering.recipe import Recipe

__all__ = ["COLOURS", "SIDE", "SMALL", "built", "job", "make", "train"]

COLOURS = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}
SIDE, SQUARE = 32, 12
SCENES = {"train": 12, "val": 6}
SMALL = {
    "image_size": (SIDE, SIDE),
    "base_channels": 8,
    "channels": 16,
    "word_channels": 8,
    "question_length": 6,
    "batch_size": 8,
    "epochs": 3,
    "visual_epochs": 1,
}


def make(folder: Path, several: bool = False) -> Path:
    """Write the set; with `several`, ten people answer each question, two of them wrongly."""
    chance = np.random.default_rng(0)
    asked: dict[str, list[Question]] = {}
    phrases: dict[str, list[Phrase]] = {}
    for split, scenes in SCENES.items():
        rows, asked[split], phrases[split] = [], [], []
        (folder / "images" / split).mkdir(parents=True)
        for number in range(scenes):
            path = f"images/{split}/{number}.png"
            image = chance.integers(0, 60, (SIDE, SIDE, 3), np.uint8)
            there = list(chance.permutation(list(COLOURS))[: 1 + number % 2])
            objects = []
            for index, name in enumerate(there):
                x, y = (int(n) for n in chance.integers(1, 4, 2))
                x += index * SIDE // 2
                image[y : y + SQUARE, x : x + SQUARE] = COLOURS[name]
                objects.append({"colour": str(name), "box": [x, y, SQUARE, SQUARE]})
            assert cv2.imwrite(str(folder / path), image)
            rows.append({"image": path, "objects": objects})
            boxes = {each["colour"]: tuple(each["box"]) for each in objects}
            called = [f"the {name} square" for name in boxes]
            sentence = " near ".join(called)
            for index, name in enumerate(boxes):
                phrases[split].append(
                    Phrase(path, called[index], (boxes[name],), (name,), sentence, 4 * index)
                )
            for name in COLOURS:
                answer = "yes" if name in boxes else "no"
                others = {"yes": "yeah", "no": "maybe"}[answer]
                answers = (answer,) * 8 + (others,) * 2 if several else (answer,)
                named = (boxes[name],) if name in boxes else ()
                asked[split].append(
                    Question(path, f"is there a {name} square?", answers, "exist", boxes=named)
                )
            count = str(len(there))
            asked[split].append(
                Question(path, "how many squares?", (count,) * len(answers), "count")
            )
        write_lines(folder / "objects" / f"{split}.jsonl", rows)
    write_phrases(folder, phrases)
    (folder / "card.json").write_text(json.dumps({"counts": write_questions(folder, asked)}))
    return folder


def job(data: Path, folder: Path, word: str = "none", sites=("pool",), seed=0, **recipe) -> Job:
    """A run of the set; its records are kept in ``job.recorded``."""
    lines: list[dict] = []
    kept: list[dict] = []
    folder.mkdir(parents=True, exist_ok=True)
    made = Job(
        mechanism=Word.parse(word),
        sites=sites,
        seed=seed,
        recipe=Recipe(**{**SMALL, **recipe}),
        data=data,
        folder=folder,
        device="cpu",
        record=lambda split, **values: lines.append({"split": split, **values}),
        recorded=lambda split: [line for line in lines if line["split"] == split],
        items=kept.append,
        rank=int(os.environ.get("RANK", "0")),
        world=int(os.environ.get("WORLD_SIZE", "1")),
    )
    vars(made)["kept"] = kept
    return made


def built(job: Job, names: dict[str, int] | None = None, answers: int = 5):
    """Build the network of a run."""
    init_default_scope("mmengine")
    torch.manual_seed(0)
    return MODELS.build(config.network(job, answers, 9, names or {}))


def train(data: Path, folder: Path, goal: str = "answer") -> None:
    """Make six steps on boxes and six on questions, with nothing at random but the start.

    Or, to ground, three on boxes and three on sentences.
    """
    from plugins.question_answering.task import QuestionAnswering

    recipe = {"optimizer": "sgd", "learning_rate": 0.05, "epochs": 2, "frozen_visual": False}
    if goal == "ground":
        recipe |= {"goal": goal, "batch_size": 4, "boxes": 6}
    QuestionAnswering().train(job(data, folder, "soft", **recipe))


if __name__ == "__main__":
    train(*map(Path, sys.argv[1:3]), *sys.argv[3:])
