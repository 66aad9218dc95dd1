"""Small models, small jobs and stock commands for the tests of translation."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.translation.recipe import Recipe
from plugins.translation.transformer import SpatialAttentionTransformer, tiny_architecture

WORDS = 6
SIZES = {"train": 300, "valid": 20, "test": 10}


class Task:
    """What a model asks of its task."""

    def __init__(self, **padding: bool) -> None:
        self.cfg = argparse.Namespace(**{"left_pad_source": False, **padding})
        self.source_dictionary = Dictionary()
        for i in range(WORDS):
            self.source_dictionary.add_symbol(f"w{i}")
        self.target_dictionary = self.source_dictionary


def model(
    encoder: str = "1111", decoder: str = "1111", cross: str = "1111", **options: Any
) -> SpatialAttentionTransformer:
    """Build a model without a parameter that is zero, whose output depends on what it is given."""
    arguments = argparse.Namespace(
        encoder_self_attention=encoder,
        decoder_self_attention=decoder,
        cross_attention=cross,
        **{"no_token_positional_embeddings": True, **options},
    )
    tiny_architecture(arguments)
    torch.manual_seed(0)
    built = SpatialAttentionTransformer.build_model(arguments, Task())
    for name, parameter in built.named_parameters():
        mean = 1.0 if "norm.weight" in name else 0.0
        torch.nn.init.normal_(parameter, mean, 0.1 if parameter.dim() == 1 else 0.4)
    return built.eval()


def batch() -> dict[str, torch.Tensor]:
    """Three sources of 9, 6 and 3 tokens, padded on the right."""
    torch.manual_seed(1)
    tokens = torch.randint(4, 4 + WORDS, (3, 9))
    lengths = torch.tensor([9, 6, 3])
    tokens[torch.arange(9) >= lengths[:, None]] = 1
    return {"src_tokens": tokens, "src_lengths": lengths}


class Record(list):
    """Records metrics in memory and in ``metrics.jsonl``, where it finds those of before."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "metrics.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        super().__init__(json.loads(line) for line in lines)

    def __call__(self, split: str, **values: Any) -> None:
        self.append({"split": split, **values})
        with self.path.open("a") as file:
            file.write(json.dumps(self[-1]) + "\n")

    def of(self, split: str) -> list[dict[str, Any]]:
        return [line for line in self if line["split"] == split]


def job(
    folder: Path,
    data: Path,
    mechanism: str = "0111",
    sites: tuple[str, ...] = ("self",),
    seed: int = 3,
    **recipe: Any,
) -> Job:
    """A run of a few seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    record = Record(folder)
    small = {
        "encoder_layers": 1, "decoder_layers": 1, "width": 32, "ffn_width": 32, "heads": 4,
        "epochs": 3, "tokens_per_batch": 80, "learning_rate": 0.01, "warmup_updates": 10,
        "beam": 2, "evaluation_sentences": 12,
    }  # fmt: skip
    return Job(
        Word.parse(mechanism),
        sites,
        seed,
        Recipe(**{**small, **recipe}),
        data,
        folder,
        "cpu",
        record,
        record.of,
    )


def fairseq(command: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run one of fairseq's stock commands in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", f"fairseq_cli.{command}", *arguments],
        check=check,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
