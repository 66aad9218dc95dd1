"""Slurm's words, and ours: the states of a job above all."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["CAUSES", "JOB_ID", "SAYS_MORE", "WAITING", "WORDS"]

JOB_ID = "SLURM_JOB_ID"
"""Environment variable of a job."""

WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
"""States of a job that will be started, or could be. ``RUNNING`` and all that nobody foresaw count
as running."""

CAUSES: Mapping[str, str] = {
    "COMPLETED": "killed",
    "FAILED": "killed",  # an error of the training is recorded by the worker that meets it
    "CANCELLED": "killed",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "PREEMPTED": "preempted",
    "OUT_OF_MEMORY": "oom",
    "NODE_FAIL": "killed",
    "BOOT_FAIL": "killed",
    "REVOKED": "killed",
    "LAUNCH_FAILED": "killed",
}
"""The terminal states, and the cause of an attempt that ended so without a record of its own."""

WORDS: Mapping[str, str] = {
    "BOOT_FAIL": "node failure",
    "CANCELLED": "cancelled",
    "DEADLINE": "timeout",
    "NODE_FAIL": "node failure",
    "OUT_OF_MEMORY": "oom host",
    "PREEMPTED": "preempted",
    "TIMEOUT": "timeout",
}
"""Terminal states that say what a worker cannot know, as causes of `study.launch.retries`."""

SAYS_MORE: Mapping[str, tuple[str, ...]] = {"killed": ("OUT_OF_MEMORY", "NODE_FAIL")}
"""What Slurm can know of an end beyond the cause that was recorded."""
