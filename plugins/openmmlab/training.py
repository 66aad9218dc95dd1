"""Train and evaluate with MMEngine's runner, so that a killed run can be resumed exactly."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from plugins.job import Job

__all__ = ["OPTIMIZERS", "loader", "train"]

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"type": "SGD", "momentum": 0.9},
    "adamw": {"type": "AdamW"},
}
"""A recipe's word for the optimizer, and MMEngine's config of it."""

RECORD_INTERVAL = 10  # iterations between two lines of training metrics


def train(
    job: Job,
    config: dict[str, Any],
    metric_prefix: str = "",
    metric_scale: float = 1,
    without_predictions: dict[str, float] | None = None,
) -> None:
    """Train `config` for the run, from the newest whole checkpoint if there is one.

    Parameters
    ----------
    job: Job
        The run. Its recipe has ``epochs``.
    config: dict
        The arguments of ``mmengine.Runner`` that concern model, data, schedule and evaluation.
    metric_prefix: str
        Cut off from the names of the evaluator's metrics, such as ``coco/``.
    metric_scale: float
        Factor on them: 0.01 for an evaluator that reports per cent.
    without_predictions: dict, optional
        The metrics of a model that predicts nothing, for an evaluator that is silent about it.

    Raises
    ------
    FloatingPointError
        If the loss is no longer finite: the rest of the training would be for nothing.
    """
    checkpoints = job.folder / "checkpoints"
    newest = newest_whole_checkpoint(checkpoints)
    cfg = Config(
        {
            **config,
            "work_dir": str(checkpoints),
            "load_from": str(newest) if newest else None,
            "resume": newest is not None,
            "randomness": {"seed": job.seed},
            "experiment_name": job.folder.name,
            "custom_hooks": [],
            "default_hooks": {
                "logger": {"type": "LoggerHook", "interval": RECORD_INTERVAL},
                # Two, since the newest may be torn when the run is killed.
                "checkpoint": {"type": "CheckpointHook", "interval": 1, "max_keep_ckpts": 2},
            },
            "visualizer": None,
            "env_cfg": {"cudnn_benchmark": False},
            "log_level": "INFO",
        }
    )
    runner = _LoggingRunner.from_cfg(cfg)
    runner.register_hook(_Reseed(job.seed), priority="VERY_HIGH")
    runner.register_hook(
        _Record(job, metric_prefix, metric_scale, without_predictions), priority="LOW"
    )
    try:
        runner.train()
    finally:
        MMLogger._instance_dict.pop(runner.experiment_name, None)


def loader(job: Job, dataset: dict[str, Any], batch_size: int, shuffle: bool) -> dict[str, Any]:
    """Return the config of a data loader: beside a GPU two workers, on a CPU none."""
    workers = 2 if job.device == "cuda" else 0
    return {
        "batch_size": batch_size,
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "sampler": {"type": "DefaultSampler", "shuffle": shuffle},
        "dataset": dataset,
    }


def newest_whole_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint in `folder` that is not torn, None without one.

    A checkpoint is a zip archive, whose checksums show whether all of it was written.
    """
    found = sorted(folder.glob("epoch_*.pth"), key=lambda path: -int(path.stem.split("_")[1]))
    for path in found:
        try:
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is None:
                    return path
        except (zipfile.BadZipFile, OSError):
            continue
    return None


class _LoggingRunner(Runner):
    """Logs to ``train.log`` of the run folder, appending, instead of to a file an attempt."""

    def build_logger(
        self, log_level: Any = "INFO", log_file: Any = None, **kwargs: Any
    ) -> MMLogger:
        path = Path(self.work_dir).parent / "train.log"
        return super().build_logger(log_level, str(path), **kwargs)


class _Reseed(Hook):
    """Starts each epoch from random states that depend on seed and epoch alone.

    A resumed run then draws what the undisturbed one would have drawn.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed Python, NumPy and torch."""
        # SeedSequence: neighbouring seeds and epochs must not share their streams.
        drawn = int(np.random.SeedSequence([self.seed, runner.epoch]).generate_state(1)[0])
        random.seed(drawn)
        np.random.seed(drawn)
        torch.manual_seed(drawn)


class _Record(Hook):
    """Passes metrics on to ``metrics.jsonl``, and evaluates once before the first step."""

    def __init__(
        self, job: Job, prefix: str, scale: float, without_predictions: dict[str, float] | None
    ) -> None:
        self.job, self.prefix, self.scale = job, prefix, scale
        self.without_predictions = without_predictions or {}

    def before_train(self, runner: Runner) -> None:
        """Evaluate the untrained model, for what its metrics are worth as a floor."""
        if runner.iter == 0 and not self.job.recorded("untrained"):
            runner.val_loop.run()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Record the loss, averaged by MMEngine over the last iterations."""
        if (runner.iter + 1) % RECORD_INTERVAL and runner.iter > 0:
            return
        scalars = runner.message_hub.log_scalars
        losses = {
            name.removeprefix("train/"): value.mean(RECORD_INTERVAL)
            for name, value in scalars.items()
            if name.startswith("train/") and "loss" in name and len(value._log_history)
        }
        loss = losses.pop("loss")
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {runner.iter + 1}")
        self.job.record(
            "train",
            step=runner.iter + 1,
            epoch=round((runner.iter + 1) / len(runner.train_dataloader), 4),
            loss=float(loss),
            lr=float(runner.optim_wrapper.get_lr()["lr"][0]),
            **{name: float(value) for name, value in losses.items()},
        )

    def after_val_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Record the evaluator's metrics."""
        values = {
            name.removeprefix(self.prefix): round(float(value) * self.scale, 6)
            for name, value in (metrics or {}).items()
        }
        self.job.record(
            "untrained" if runner.iter == 0 else "val",
            step=runner.iter,
            epoch=runner.epoch,
            **{name: value for name, value in values.items() if np.isfinite(value)}
            or self.without_predictions,
        )
