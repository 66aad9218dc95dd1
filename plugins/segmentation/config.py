"""The MMSegmentation config of a run: the shipped FCN, with the recipe's values."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.config import ConfigDict
from mmseg.models.backbones.resnet import Bottleneck, ResNet, ResNetV1c
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from torch import Tensor

from plugins.attention.core.site import Place
from plugins.attention.core.standing import parts_at
from plugins.contracts.job import Job
from plugins.openmmlab import blocks, sites, training  # noqa: F401  blocks registers itself
from plugins.openmmlab.backbone import small_depths
from plugins.openmmlab.heads.building import shipped_model
from plugins.openmmlab.optimizer import optimizer
from plugins.segmentation.data.layout import IMAGE_END, IMAGES, LABEL_END, LABELS, read_classes
from plugins.segmentation.metric import ExactIoU  # noqa: F401  it registers itself
from plugins.segmentation.recipe import Recipe
from plugins.segmentation.sites import HEAD, site

__all__ = ["AttendedFCNHead", "runner_config", "segmentor", "training_config"]


@MODELS.register_module()
class SmallResNetV1c(ResNetV1c):
    """A ResNet with a deep stem that also comes with 14 and 26 layers."""

    arch_settings = small_depths(ResNet, Bottleneck)


@MODELS.register_module()
class AttendedFCNHead(FCNHead):
    """An FCN head with a block between its two convolutions.

    Parameters
    ----------
    block: dict
        Config of the block, which is given ``in_channels``.
    **kwargs
        Those of MMSegmentation's ``FCNHead`` but ``num_convs``, which is 2.
    """

    def __init__(self, block: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(num_convs=2, **kwargs)
        self.block = MODELS.build({**block, "in_channels": self.channels})

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Return the logits, (N, classes, H, W), of a list of feature maps."""
        features = self._transform_inputs(inputs)
        out = self.convs[1](self.block(self.convs[0](features)))
        if self.concat_input:
            out = self.conv_cat(torch.cat([features, out], dim=1))
        return self.cls_seg(out)


def segmentor(job: Job, classes: int) -> ConfigDict:
    """Return the config of the model."""
    recipe: Recipe = job.recipe
    model = shipped_model("fcn_r50-d8")
    norm = {"type": "BN", "requires_grad": True}
    model.pretrained = recipe.pretrained
    model.data_preprocessor.size = recipe.crop
    model.backbone.update(
        type="SmallResNetV1c",
        depth=recipe.depth,
        stem_channels=recipe.base_channels,
        base_channels=recipe.base_channels,
        norm_cfg=norm,
    )
    sites.attend(model.backbone, job.mechanism, job.sites, recipe.heads, recipe.kv_stride)
    head = site(HEAD, recipe)
    common = {
        "num_classes": classes,
        "norm_cfg": norm,
        "dropout_ratio": recipe.dropout,
        "align_corners": recipe.align_corners,
    }
    widths = {"in_channels": head.in_channels, "channels": head.channels}
    model.decode_head.update(common, **widths)
    in_head = parts_at(job.mechanism, head) if HEAD in job.sites else {}
    for place, part in in_head.items():
        if place is Place.HEAD:
            named = {"type": "MechanismHead", "word": str(part), "size": head.size}
            model.decode_head = ConfigDict({**named, **widths, **common})
        else:
            block = sites.block(part, place, recipe.heads, recipe.kv_stride)
            model.decode_head.pop("num_convs")
            model.decode_head.update(type="AttendedFCNHead", block=block)
    model.auxiliary_head.update(
        common, in_channels=head.in_channels // 2, channels=head.channels // 2
    )
    if recipe.evaluation_stride is not None:
        model.test_cfg.update(mode="slide", crop_size=recipe.crop, stride=recipe.evaluation_stride)
    model.auxiliary_head.loss_decode.loss_weight = recipe.auxiliary_loss
    if not recipe.auxiliary_loss:
        model.auxiliary_head = None
    return model


def runner_config(job: Job) -> dict[str, Any]:
    """Return model, data, schedule and evaluation as ``mmengine.Runner`` takes them."""
    meta = read_classes(job.data)
    return training_config(job, len(meta["classes"])) | {
        "train_dataloader": _loader(job, "train", meta),
        "val_dataloader": _loader(job, "val", meta),
        "val_cfg": {},
        "val_evaluator": {"type": "ExactIoU"},
    }


def training_config(job: Job, classes: int) -> dict[str, Any]:
    """Return the part of `runner_config` that needs no data: model, optimizer and schedule."""
    recipe: Recipe = job.recipe
    return {
        "default_scope": "mmseg",
        "model": segmentor(job, classes),
        "train_cfg": recipe.train_cfg,
        # As in MMSegmentation's own configs: training crops are of one size.
        "env_cfg": {"cudnn_benchmark": job.device == "cuda"},
        "optim_wrapper": optimizer(job),
        "param_scheduler": [
            {
                "type": "PolyLR",
                "power": recipe.decay_power,
                "eta_min": 0,
                "begin": 0,
                "end": recipe.epochs,
                "by_epoch": True,
                "convert_to_iter_based": True,
            }
        ],
    }


def _loader(job: Job, split: str, meta: dict[str, Any]) -> dict[str, Any]:
    recipe: Recipe = job.recipe
    to_train = split == "train"
    pipeline: list[dict[str, Any]] = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
    if to_train:
        resize = {"type": "RandomResize", "ratio_range": recipe.scale_range, "keep_ratio": True}
        if recipe.scale_range != (1.0, 1.0):
            pipeline.append({**resize, "scale": recipe.image_scale or recipe.crop[::-1]})
        pipeline += [
            {"type": "RandomCrop", "crop_size": recipe.crop, "cat_max_ratio": 0.75},
            {"type": "RandomFlip", "prob": recipe.flip},
        ]
    dataset = {
        "type": "BaseSegDataset",
        "data_root": str(job.data),
        "data_prefix": {"img_path": f"{IMAGES}/{split}", "seg_map_path": f"{LABELS}/{split}"},
        "img_suffix": IMAGE_END,
        "seg_map_suffix": LABEL_END,
        "metainfo": meta,
        "test_mode": not to_train,
        "indices": recipe.training_images if to_train else recipe.evaluation_images,
        "pipeline": [*pipeline, {"type": "PackSegInputs"}],
    }
    if not to_train:
        return training.loader(job, dataset, 1, shuffle=False)
    made = training.loader(job, dataset, training.share(job), shuffle=True)
    # Pooled features of a last batch with one image have no variance to normalise by.
    whole = {"type": "WholeBatches", "batch_size": recipe.batch_size}
    return made | {"sampler": made["sampler"] | whole}
