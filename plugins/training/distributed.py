"""The processes that train one run together, one on each GPU.

A launcher starts them with torch's variables: RANK and WORLD_SIZE, which the worker has put into
the job, LOCAL_RANK, and MASTER_ADDR and MASTER_PORT, where they find each other
(https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables). Each holds the whole
model and learns from its part of every batch; gradients are averaged (distributed data parallel).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
from torch import distributed

from plugins.contracts.job import Job

__all__ = ["PATIENCE", "decided", "gpu", "process_group", "seed"]

T = TypeVar("T")

PATIENCE = timedelta(hours=12)
"""How long a process waits for the others: longer than the first process takes to translate and
score a test set. With gloo, a process that dies closes its connections and so ends the others at
once. With NCCL it may not; then the launcher must end them."""


@contextmanager
def process_group(job: Job) -> Iterator[None]:
    """Join the other processes of the run, and leave together with them.

    On an error the process waits for nobody and does not leave the group: leaving would wait for
    answers of a process that may be dead. The process is expected to end.

    Raises
    ------
    ValueError
        If one of torch's variables is missing.
    """
    if job.world == 1:
        yield
        return
    if job.device == "cuda":
        torch.cuda.set_device(gpu())
    distributed.init_process_group(
        "nccl" if job.device == "cuda" else "gloo",
        rank=job.rank,
        world_size=job.world,
        timeout=PATIENCE,
    )
    yield
    distributed.barrier()
    distributed.destroy_process_group()


def gpu() -> int:
    """Return the index of this process's GPU among those it can see, 0 if it sees none.

    If a scheduler shows each process its own GPU alone, that GPU is number 0 for each of them.
    """
    return int(os.environ.get("LOCAL_RANK", "0")) % max(1, torch.cuda.device_count())


def decided(job: Job, decide: Callable[[], T]) -> T:
    """Return in every process what `decide` returns in the first; only the first calls it.

    Use it for decisions that depend on files: the processes may see these at different times.
    """
    if job.world == 1:
        return decide()
    answer = [decide() if job.rank == 0 else None]
    distributed.broadcast_object_list(answer, src=0)
    return answer[0]  # type: ignore[return-value]


def seed(job: Job, position: int) -> int:
    """Return this process's seed for the epoch or update number `position`.

    Neighbouring seeds, positions and processes share no random numbers, so that no two images or
    sentences of a batch get the same noise. The first process draws the same as in a run of one
    process.
    """
    own = (job.rank,) if job.rank else ()
    return int(np.random.SeedSequence([job.seed, position], spawn_key=own).generate_state(1)[0])
