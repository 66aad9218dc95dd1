"""Runs in the offline format of Weights & Biases: ``wandb sync OUT/wandb/offline-run-*``."""

from __future__ import annotations

from pathlib import Path

from analysis.export.written import Told

__all__ = ["NEEDS", "write"]

NEEDS = "wandb"


def write(run: Told, out: Path) -> Path:
    """Write a run; nothing is sent, and no account is needed."""
    import wandb

    out.mkdir(parents=True, exist_ok=True)
    tracker = wandb.init(
        project="spatial-attention-study",
        dir=str(out),
        id=run.id[-16:],
        name=run.label,
        group=run.grid,
        config=run.config,
        mode="offline",
        reinit="finish_previous",
        settings=wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True),
    )
    for point in run.points:
        tracker.log({**point.values, "step": point.step})
    tracker.summary.update({**run.result, "state": run.state})
    folder = Path(tracker.dir).parent
    tracker.finish()
    return folder
