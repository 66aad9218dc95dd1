"""A run as one of the processes that torch's variables tell of: FOLDER DATA [UPDATES].

Keeps the gradients of the first updates in the folder, ``gradients-<rank>.pt``, and how many
sentences this process had in each batch. The first process waits to be killed once the given
number of updates is recorded.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path

import small_translation as small
import torch

from plugins.translation import train

UPDATES = 3
# Some batches are but one sentence, of which one of two processes gets none.
RECIPE = {"dropout": 0.0, "update_frequency": 2, "tokens_per_batch": 14, "epochs": 2}


def run(folder: Path, data: Path, stop: float = float("inf")) -> None:
    torch.set_num_threads(1)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    job = small.job(folder, data, **RECIPE)
    gradients, sentences = [], []

    def record(split, **values):
        if rank == 0:
            job.record(split, **values)
        if split == "train" and values["step"] >= stop and rank == 0:
            time.sleep(3600)

    class Keeping(train.RecordingTrainer):
        """Keeps what the optimizer is about to be given."""

        def train_step(self, samples, raise_oom=True):
            sentences.extend(len(sample["id"]) if sample else 0 for sample in samples)
            return super().train_step(samples, raise_oom)

        def clip_grad_norm(self, norm):
            if len(gradients) < UPDATES:
                names = self.get_model().named_parameters()
                gradients.append({name: parameter.grad.clone() for name, parameter in names})
                if len(gradients) == UPDATES:
                    torch.save((gradients, sentences), folder / f"gradients-{rank}.pt")
            return super().clip_grad_norm(norm)

    ours, train.RecordingTrainer = train.RecordingTrainer, Keeping
    try:
        train.train(dataclasses.replace(job, record=record, rank=rank, world=world))
    finally:
        train.RecordingTrainer = ours


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:]))
