"""docs/choices.md says what the shipped configs and our grids say."""

from __future__ import annotations

import argparse
import inspect
import re
from pathlib import Path

import pytest
from page import Page

from plugins.contracts.tasks import find_task
from study.grid.reading import load

GRIDS = Path(__file__).parents[2] / "grids"
FOLDERS = {"Detection": "coco", "Segmentation": "cityscapes", "Translation": "wmt14"}
# The recipes of MMDetection and MMSegmentation, which are the other column of the tables.
APART = (GRIDS / "coco" / "mmdetection.yaml", GRIDS / "cityscapes" / "zoo.yaml")


def rows(section: str) -> list[list[str]]:
    """Return the cells of a section's table: what, paper, others, here, why."""
    lines = [line for line in Page("choices.md", section).text.splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]
    assert all(len(row) == 5 and all(row) for row in cells)
    return cells


def others(section: str, what: str) -> str:
    """Return what the table says that others do."""
    (cell,) = (row[2] for row in rows(section) if what in row[0])
    return cell


def in_yaml(value) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(map(in_yaml, value))}]"
    return str(value) if isinstance(value, int | str) else f"{value:g}"


@pytest.mark.parametrize("section", FOLDERS)
def test_our_column_has_the_values_of_the_grids(section):
    checked = 0
    for path in (GRIDS / FOLDERS[section]).glob("*.yaml"):
        if path in APART:
            continue
        grid = load(path)
        recipe = find_task(grid.task).Recipe.model_validate(grid.recipe)
        for what, _, _, here, _ in rows(section):
            for field in re.findall(r"`(\w+)`", what):
                assert f"`{in_yaml(getattr(recipe, field))}`" in here, (path, field)
                checked += 1
    assert checked >= 18


def test_our_ranges_of_dynamic_convolution_are_those_of_the_grids():
    for section in ("Detection", "Translation"):
        (here,) = (row[3] for row in rows(section) if "dynamic convolution" in row[0])
        words = [word for word, _ in load(GRIDS / FOLDERS[section] / "dynamic.yaml").cells()]
        ranges = [word.removeprefix("dynamic@") for word in words if "dynamic@" in word]
        assert re.findall(r"@(\d+)", here) == ranges
        if section == "Detection":
            sizes = [2 * int(reach) + 1 for reach in ranges]
            assert here.endswith(": " + ", ".join(f"{size}x{size}" for size in sizes) + " taps")


def test_what_is_said_of_mmdetection_is_in_its_config():
    import mmdet
    from mmcv.cnn.bricks import GeneralizedAttention
    from mmengine.config import Config

    name = re.search(r"`(empirical_attention/\S+\.py)`", Page("choices.md").text)[1]
    config = Config.fromfile(Path(mmdet.__file__).parent / ".mim/configs" / name)
    backbone, loader = config.model.backbone, config.train_dataloader
    (plugin,) = backbone.plugins

    def named(stages):
        return ", ".join(f"conv{number}" for number, there in enumerate(stages, 2) if there)

    default = inspect.signature(GeneralizedAttention).parameters["num_heads"].default
    warmup, steps = config.param_scheduler
    base, rate = config.auto_scale_lr.base_batch_size, config.optim_wrapper.optimizer.lr
    for what, said in {
        "where attention stands": named(plugin.stages),
        "position in": f"`{plugin.position}`",
        "deformable_stages": named(backbone.stage_with_dcn),
        "its version": f"`{backbone.dcn.type}`",
        "kv_stride": str(plugin.cfg.kv_stride),
        "heads": f"{plugin.cfg.num_heads}; mmcv's own default is {default}",
        "proposals": str(config.model.train_cfg.rpn_proposal.max_per_img),
        "warm-up": f"{warmup.end} from {warmup.start_factor}",
        "batch_size": f"{base}, {rate}",
        "images of a batch": loader.batch_sampler.type,
        "images left out": f"{loader.dataset.filter_cfg.min_size} pixels",
    }.items():
        assert others("Detection", what).startswith(said) or said in others("Detection", what), what
    assert steps.milestones == [8, 11]
    assert "clip_grad" not in config.optim_wrapper
    heads = config.model.rpn_head, config.model.roi_head.bbox_head
    assert {head.loss_bbox.type for head in heads} == {"L1Loss"}
    assert config.model.roi_head.bbox_roi_extractor.roi_layer.sampling_ratio == 0  # adaptive


def test_what_is_said_of_mmsegmentation_is_in_its_config():
    import mmseg
    from mmengine.config import Config
    from mmseg.models.losses import CrossEntropyLoss

    name = re.search(r"`(fcn/\S+\.py)`", Page("choices.md").text)[1]
    config = Config.fromfile(Path(mmseg.__file__).parent / ".mim/configs" / name)
    model, optimizer = config.model, config.optim_wrapper.optimizer
    (decay,) = config.param_scheduler
    steps = {step["type"]: step for step in config.train_pipeline}
    low, high = steps["RandomResize"]["ratio_range"]
    gpus = int(re.search(r"_(\d+)xb", name)[1])
    for what, said in {
        "crop": "both {} x {}".format(*steps["RandomCrop"]["crop_size"]),
        "scale_range": f"MMSegmentation {low} to {high}",
        "colours": f"MMSegmentation {'yes' if 'PhotoMetricDistortion' in steps else 'no'}",
        "align_corners": f"both {in_yaml(model.decode_head.align_corners)}",
        "auxiliary_loss": f"both {model.auxiliary_head.loss_decode.loss_weight}",
        "learning_rate": f"both {optimizer.lr}, 5e-4",
        "decay_power": f"both {decay.power}; MMSegmentation ends at 1e-4",
        "epochs": f"MMSegmentation {config.train_cfg.max_iters:,}",
        "batch_size": f"both {gpus * config.train_dataloader.batch_size}",
        "evaluation_stride": f"windows of {model.test_cfg.crop_size[0]} that move by "
        f"{model.test_cfg.stride[0]}",
    }.items():
        assert said in others("Segmentation", what), what
    assert (optimizer.weight_decay, decay.eta_min) == (5e-4, 1e-4)
    assert "sampler" not in model.decode_head  # no OHEM
    assert model.backbone.norm_cfg.type == "SyncBN"
    # The mean of the loss is over all pixels, in the shipped config that ours starts from, too.
    assert "avg_non_ignore" not in model.decode_head.loss_decode
    assert CrossEntropyLoss().avg_non_ignore is False


def test_what_is_said_of_fairseq_are_its_defaults():
    from fairseq.dataclass.configs import GenerationConfig
    from fairseq.models import ARCH_CONFIG_REGISTRY
    from fairseq.optim.adam import FairseqAdamConfig
    from fairseq.tasks.translation import TranslationConfig

    search, adam = GenerationConfig(), FairseqAdamConfig()
    base, dynamic = argparse.Namespace(), argparse.Namespace()
    ARCH_CONFIG_REGISTRY["transformer_wmt_en_de"](base)
    ARCH_CONFIG_REGISTRY["lightconv_wmt_en_de"](dynamic)
    taps = ", ".join(map(str, dict.fromkeys(dynamic.encoder_kernel_size_list)))
    betas = str(adam.adam_betas).strip("()")
    for what, said in {
        "beam": f"fairseq {search.beam},",
        "length_penalty": f"fairseq {search.lenpen:g};",
        "dynamic convolution": f"fairseq: {taps} taps",
        "Adam": f"fairseq {betas}, 1e-8",
    }.items():
        assert said in others("Translation", what), what
    assert adam.adam_eps == 1e-8
    assert not base.no_token_positional_embeddings
    assert not base.share_all_embeddings
    assert TranslationConfig().left_pad_source
