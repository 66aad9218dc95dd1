"""Slurm's words, and ours: the states of a job above all."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["CAUSES", "EVERY_STATE", "JOB_ID", "NOBODYS", "SAYS_MORE", "WAITING", "WORDS"]

JOB_ID = "SLURM_JOB_ID"
"""Environment variable of a job."""

WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
"""States of a job that will be started, or could be. ``RUNNING`` and all that nobody foresaw count
as running."""

NOBODYS = "CANCELLED by nobody"
"""Ours for a plain ``CANCELLED`` of the accounting, which names who cancelled a job. So it closes
the account of jobs that a controller has lost with its state."""

CAUSES: Mapping[str, str] = {
    "COMPLETED": "killed",
    "FAILED": "killed",  # an error of the training is recorded by the worker that meets it
    "CANCELLED": "killed",
    NOBODYS: "lost",
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

EVERY_STATE = "BF,CA,CD,DL,F,NF,OOM,PD,PR,R,RQ,RV,S,TO"
"""All states, for ``sacct --state``. Without it, ``sacct`` leaves out tasks that ended before they
might have begun: an array that was cancelled while `max_parallel` held it back."""

WORDS: Mapping[str, str] = {
    "BOOT_FAIL": "node failure",
    "CANCELLED": "cancelled",
    NOBODYS: "lost",
    "DEADLINE": "timeout",
    "NODE_FAIL": "node failure",
    "OUT_OF_MEMORY": "oom host",
    "PREEMPTED": "preempted",
    "TIMEOUT": "timeout",
}
"""Terminal states that say what a worker cannot know, as causes of `study.launch.retries`."""

SAYS_MORE: Mapping[str, tuple[str, ...]] = {
    "killed": ("OUT_OF_MEMORY", "NODE_FAIL"),  # other runs of its job may be cancelled later
    "timeout": ("CANCELLED",),  # of a job that waited again for its next attempt
}
"""What Slurm can know of an end beyond the cause that was recorded."""
