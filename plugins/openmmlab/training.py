"""Train and evaluate with MMEngine's runner, so that a killed run can be resumed exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.device import get_device
from mmengine.dist import all_reduce_dict
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import BaseLoop, CheckpointLoader, Runner
from torch import nn

from plugins.contracts.job import Job
from plugins.openmmlab import records
from plugins.openmmlab.acceleration import Accelerate, put_channels_last
from plugins.openmmlab.backbone_weights import check_backbone, load_backbone
from plugins.openmmlab.checkpoints import newest_whole_checkpoint
from plugins.openmmlab.norm import normalise_jointly
from plugins.openmmlab.pretrained import WEB
from plugins.openmmlab.resuming import RANDOM_STATES, Reseed, StoppableLoop
from plugins.openmmlab.telling import TellMechanisms
from plugins.training import allocator, distributed

__all__ = ["WholeBatches", "loader", "runner_for", "share", "train"]

CheckpointLoader.register_scheme(WEB, load_backbone, force=True)

WORKERS = {"cpu": 0, "cuda": 2}
"""Processes that load data, by device."""


def train(
    job: Job,
    config: dict[str, Any],
    metric_prefix: str = "",
) -> None:
    """Train `config` for the run, from the newest whole checkpoint if there is one.

    Several processes make the same steps as one process: each step's images are the same, batch
    normalisation sees all of them, and the gradient is the mean of the processes' gradients. That
    is the gradient of the whole batch up to rounding if each process's loss is a mean over equally
    many terms. Random draws (augmentation, dropout, the regions that a detector samples) have the
    same distribution but are not the same.

    Parameters
    ----------
    job: Job
        The run. Its recipe has ``epochs``.
    config: dict
        The arguments of ``mmengine.Runner`` that concern model, data, schedule and evaluation.
    metric_prefix: str
        Removed from the names of the evaluator's metrics, such as ``coco/``.

    Raises
    ------
    FloatingPointError
        If the loss is no longer finite, and the rest of the training would be useless.
    """
    allocator.keep_freed_memory()
    with distributed.process_group(job):
        runner = runner_for(job, config)
        runner.register_hook(Accelerate(job), priority="VERY_HIGH")
        runner.register_hook(TellMechanisms(), priority="VERY_HIGH")
        runner.register_hook(records.Record(job, metric_prefix), priority="LOW")
        processes = f"{job.world} processes, " if job.world > 1 else ""
        runner.logger.info(f"{processes}{job.recipe.step}")
        try:
            runner.train()
        finally:
            MMLogger._instance_dict.pop(runner.experiment_name, None)


def runner_for(job: Job, config: dict[str, Any]) -> Runner:
    """Return MMEngine's runner for `config`; it continues from the newest whole checkpoint."""
    checkpoints = job.folder / "checkpoints"
    newest = distributed.decided(job, lambda: newest_whole_checkpoint(checkpoints))
    evaluator = config.get("val_evaluator")
    cfg = Config(
        {
            **config,
            # Gather by messages; MMEngine's default is files in the current directory.
            "val_evaluator": evaluator and {**evaluator, "collect_device": "gpu"},
            "launcher": "none" if job.world == 1 else "pytorch",
            "work_dir": str(checkpoints),
            "load_from": str(newest) if newest else None,
            "resume": newest is not None,
            "randomness": {"seed": job.seed},
            # MMEngine adds no more than the second, and what shares a name shares registries.
            "experiment_name": str(job.folder.resolve()),
            "custom_hooks": [],
            "default_hooks": {
                "logger": {"type": "LoggerHook", "interval": records.RECORD_INTERVAL},
                # Keep two: the newest may be torn when the run is killed.
                "checkpoint": {"type": "CheckpointHook", "interval": 1, "max_keep_ckpts": 2},
            },
            "visualizer": None,
            "env_cfg": {"cudnn_benchmark": False, **config.get("env_cfg", {})},
            "log_level": "INFO",
            **({"channels_last": True} if job.recipe.channels_last else {}),
        },
        # Every checkpoint holds the config as text, and formatting it takes longer than saving.
        format_python_code=False,
    )
    runner = _Runner.from_cfg(cfg)
    runner.job = job
    runner.register_hook(Reseed(job), priority="VERY_HIGH")
    return runner


def loader(job: Job, dataset: dict[str, Any], batch_size: int, shuffle: bool) -> dict[str, Any]:
    """Return the config of a data loader: with a GPU two workers, on a CPU none.

    Workers that shuffle and augment start anew for each epoch, so that they are seeded for it.
    """
    workers = WORKERS[job.device]
    return {
        "batch_size": batch_size,
        "num_workers": workers,
        "persistent_workers": workers > 0 and not shuffle,
        "pin_memory": job.device == "cuda",
        "worker_init_fn": {"type": "seeded_by_torch"},
        "sampler": {"type": "DefaultSampler", "shuffle": shuffle},
        "dataset": dataset,
    }


def share(job: Job) -> int:
    """Return how many of a batch's images one process gets; ValueError if the numbers differ."""
    return int(job.recipe.share(job.world))


@DATA_SAMPLERS.register_module()
class WholeBatches(DefaultSampler):
    """Leaves out an epoch's incomplete last batch, for any number of processes.

    A data loader's ``drop_last`` sees the images of one process only. MMEngine has by then repeated
    some so that all processes get equally many, and these could fill one more batch.

    Parameters
    ----------
    batch_size: int
        Images a step, of all processes together.
    **options
        Those of MMEngine's ``DefaultSampler``.
    """

    def __init__(self, batch_size: int, **options: Any) -> None:
        super().__init__(**options)
        self.batch_size = batch_size
        self.total_size = len(self.dataset) // batch_size * batch_size
        self.num_samples = self.total_size // self.world_size


class _Runner(Runner):
    """Appends its log to ``train.log`` of the run folder, and can be stopped after any step."""

    job: Job
    random_states: dict[str, Any] | None = None

    def build_train_loop(self, loop: Any) -> BaseLoop:
        """Return the loop to train in."""
        if isinstance(loop, BaseLoop):
            return loop
        options = {name: value for name, value in loop.items() if name != "by_epoch"}
        return StoppableLoop(self.job, runner=self, dataloader=self._train_dataloader, **options)

    def _init_model_weights(self) -> None:
        model: Any = self.model.module if is_model_wrapper(self.model) else self.model
        if (pretrained := self.job.recipe.pretrained) is not None:
            check_backbone(model.backbone, pretrained)
        if not self.cfg.get("channels_last"):
            super()._init_model_weights()
            return
        # In another memory layout other numbers would be drawn.
        self.model.to(memory_format=torch.contiguous_format)
        super()._init_model_weights()
        self.model.to(memory_format=torch.channels_last)

    def load_checkpoint(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Load weights; keep the random states of a checkpoint made within an epoch."""
        checkpoint = super().load_checkpoint(*arguments, **options)
        self.random_states = checkpoint["meta"].get(RANDOM_STATES)
        return checkpoint

    def build_logger(
        self, log_level: Any = "INFO", log_file: Any = None, **kwargs: Any
    ) -> MMLogger:
        path = Path(self.work_dir).parent / "train.log"
        return super().build_logger(log_level, str(path), **kwargs)

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        """Let the processes share normalisation and gradients.

        MMEngine's own wrapper needs a GPU with the index LOCAL_RANK.
        """
        if self.cfg.get("channels_last"):
            # This comes before the processes agree on the layout of gradients, which must not
            # change.
            put_channels_last(model)
        if not self.distributed:
            return super().wrap_model(model_wrapper_cfg, model)
        device = get_device()
        return _Parallel(
            normalise_jointly(model, device).to(device),
            device_ids=[distributed.gpu()] if device == "cuda" else None,
            broadcast_buffers=False,  # the statistics are joint, so they are equal
            find_unused_parameters=any(
                getattr(module, "find_unused_parameters", False) for module in model.modules()
            ),
        )


class _Parallel(MMDistributedDataParallel):
    """A model whose losses are reported as means over the processes.

    They are averaged at each step: a checkpoint holds the losses of the first process, and all
    processes continue from these.
    """

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, torch.Tensor]:
        losses = super().train_step(data, optim_wrapper)
        means = {name: value.detach().clone() for name, value in losses.items()}
        all_reduce_dict(means, op="mean")
        return means
