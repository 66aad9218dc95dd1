"""The MMDetection config of a run: the shipped Faster R-CNN, with the recipe's values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mmdet
import torch
from mmdet.models.backbones.resnet import Bottleneck, ResNet
from mmdet.models.detectors import FasterRCNN
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.runner.amp import autocast
from torch import Tensor

from plugins.contracts.job import Job
from plugins.detection import reading  # noqa: F401  registers itself
from plugins.detection.data.check import SMALLEST_IMAGE
from plugins.detection.data.coco import image_folder
from plugins.detection.recipe import Recipe
from plugins.openmmlab import blocks, sites, training  # noqa: F401  blocks registers itself
from plugins.openmmlab.backbone import expansion, small_depths
from plugins.openmmlab.optimizer import optimizer

__all__ = ["class_names", "detector", "runner_config", "training_config"]


@MODELS.register_module()
class SmallResNet(ResNet):
    """A ResNet that also comes with 14 and 26 layers."""

    arch_settings = small_depths(ResNet, Bottleneck)


@MODELS.register_module()
class Bfloat16FasterRCNN(FasterRCNN):
    """Learns with features in bfloat16; the heads stay in float32, as mmcv's operators need it."""

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the feature pyramid, in single precision."""
        with autocast(dtype=torch.bfloat16, enabled=self.training):
            maps = super().extract_feat(batch_inputs)
        return tuple(each.float() for each in maps)


def detector(job: Job, classes: int) -> ConfigDict:
    """Return the config of the model."""
    recipe: Recipe = job.recipe
    shipped = Path(mmdet.__file__).parent / ".mim/configs/_base_/models/faster-rcnn_r50_fpn.py"
    model = Config.fromfile(shipped).model
    if recipe.precision == "bfloat16":
        model.type = "Bfloat16FasterRCNN"
    pretrained = recipe.pretrained
    model.backbone.update(
        type="SmallResNet",
        depth=recipe.depth,
        base_channels=recipe.base_channels,
        frozen_stages=recipe.frozen_stages,
        # A backbone that starts from nothing has yet to learn its statistics.
        norm_eval=pretrained is not None,
        init_cfg=None if pretrained is None else {"type": "Pretrained", "checkpoint": pretrained},
    )
    sites.attend(
        model.backbone,
        job.mechanism,
        job.sites,
        recipe.heads,
        recipe.kv_stride,
        recipe.deformable_stages,
    )
    width = recipe.base_channels * expansion(recipe.depth)
    widths = [width * 2**stage for stage in range(4)]
    model.neck.update(in_channels=widths, out_channels=recipe.fpn_channels)
    model.rpn_head.update(in_channels=recipe.fpn_channels, feat_channels=recipe.fpn_channels)
    model.rpn_head.anchor_generator.scales = [recipe.anchor_scale]
    model.roi_head.bbox_roi_extractor.out_channels = recipe.fpn_channels
    model.roi_head.bbox_head.update(
        in_channels=recipe.fpn_channels,
        fc_out_channels=recipe.head_channels,
        num_classes=classes,
    )
    # In training twice as many are considered as are kept, as in the shipped config.
    model.train_cfg.rpn_proposal.update(nms_pre=2 * recipe.proposals, max_per_img=recipe.proposals)
    model.train_cfg.rcnn.sampler.num = recipe.rois
    model.test_cfg.rpn.update(nms_pre=recipe.proposals, max_per_img=recipe.proposals)
    return model


def runner_config(job: Job) -> dict[str, Any]:
    """Return model, data, schedule and evaluation as ``mmengine.Runner`` takes them."""
    classes = class_names(job.data)
    return training_config(job, len(classes)) | {
        "train_dataloader": _loader(job, "train", classes),
        "val_dataloader": _loader(job, "val", classes),
        "val_cfg": {},
        "val_evaluator": {
            "type": "AveragePrecision",
            "ann_file": str(job.data / "annotations" / "val.json"),
            "metric": "bbox",
        },
    }


def training_config(job: Job, classes: int) -> dict[str, Any]:
    """Return the part of `runner_config` that needs no data: model, optimizer and schedule."""
    recipe: Recipe = job.recipe
    warmup = {
        "type": "LinearLR",
        "start_factor": recipe.warmup_start,
        "by_epoch": False,
        "begin": 0,
        "end": recipe.warmup_iterations,
    }
    return {
        "default_scope": "mmdet",
        "model": detector(job, classes),
        "train_cfg": recipe.train_cfg,
        "optim_wrapper": _optimizer(job),
        "param_scheduler": [
            *([warmup] if recipe.warmup_iterations else []),
            {"type": "MultiStepLR", "milestones": list(recipe.decay_epochs), "gamma": 0.1},
        ],
    }


def _optimizer(job: Job) -> dict[str, Any]:
    largest = job.recipe.gradient_clip
    made = optimizer(job, clip_grad=largest and {"max_norm": largest})
    # Only the features are in bfloat16; the detector sees to that itself.
    return made | {"type": "OptimWrapper"} if job.recipe.precision == "bfloat16" else made


def class_names(data: Path) -> tuple[str, ...]:
    """Return the categories of a prepared data set, in the order of their ids."""
    annotations = json.loads((data / "annotations" / "val.json").read_text(encoding="utf-8"))
    categories = sorted(annotations["categories"], key=lambda category: category["id"])
    return tuple(category["name"] for category in categories)


def _loader(job: Job, split: str, classes: tuple[str, ...]) -> dict[str, Any]:
    recipe: Recipe = job.recipe
    to_train = split == "train"
    pipeline: list[dict[str, Any]] = [{"type": "LoadImageFromFile"}]
    annotations = {"type": "LoadAnnotations", "with_bbox": True}
    resize = {"type": "Resize", "scale": recipe.image_scale, "keep_ratio": True}
    if to_train:
        pipeline += [annotations, resize, {"type": "RandomFlip", "prob": recipe.flip}]
        pipeline += [{"type": "PackDetInputs"}]
    else:
        keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
        pipeline += [resize, annotations, {"type": "PackDetInputs", "meta_keys": keys}]
    dataset = {
        "type": "Boxes",
        "data_root": str(job.data),
        "ann_file": f"annotations/{split}.json",
        "data_prefix": {"img": image_folder(job.data, split)},
        "metainfo": {"classes": classes},
        "filter_cfg": {"filter_empty_gt": True, "min_size": SMALLEST_IMAGE} if to_train else None,
        "test_mode": not to_train,
        "indices": recipe.training_images if to_train else recipe.evaluation_images,
        "pipeline": pipeline,
    }
    batch = training.share(job) if to_train else 1
    return training.loader(job, dataset, batch, to_train)
