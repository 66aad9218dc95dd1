"""Runs as event files: ``tensorboard --logdir OUT``."""

from __future__ import annotations

from pathlib import Path

from analysis.export.written import Told

__all__ = ["NEEDS", "write"]

NEEDS = "tensorboardX"
"""The package that writes them; torch's own writer needs all of TensorBoard."""


def write(run: Told, out: Path) -> Path:
    """Write a run's events into a folder of its own, in place of those that are there."""
    from tensorboardX import SummaryWriter
    from tensorboardX.summary import hparams

    folder = out / run.grid / run.id
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(folder), write_to_disk=True) as writer:
        for point in run.points:
            for name, value in point.values.items():
                writer.add_scalar(name, value, point.step, walltime=point.time)
        config = {key: "none" if value is None else value for key, value in run.config.items()}
        for summary in hparams(config, dict.fromkeys(run.result)):
            writer.file_writer.add_summary(summary)
        last = run.points[-1] if run.points else None
        for name, value in run.result.items():
            step, time = (last.step, last.time) if last else (0, 0.0)
            writer.add_scalar(name, value, step, walltime=time)
    return folder
