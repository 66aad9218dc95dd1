"""MMDetection's published attention models: what its own code computes, ours computes.

The checkpoints cannot be had here. In their place are MMDetection's models, built from its own
configs, which made them, with weights at random.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmcv.cnn.bricks import GeneralizedAttention
from mmcv.ops import DeformConv2dPack
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from PIL import Image
from scipy.optimize import linear_sum_assignment
from torch import nn

from plugins.attention.core.word import Word
from plugins.contracts.job import CheckpointError, Job
from plugins.detection import published
from plugins.detection.config import detector, runner_config
from plugins.detection.recipe import Recipe
from plugins.openmmlab import weights
from study import data as datasets
from study.errors import StudyError, nearest
from study.grid.reading import load

ROOT = Path(__file__).parents[2]
GRID = ROOT / "grids/coco/mmdetection.yaml"
CONFIGS = {
    "1111": "faster-rcnn_r50-attn1111_fpn_1x_coco",
    "0010": "faster-rcnn_r50-attn0010_fpn_1x_coco",
    "1111+deformable": "faster-rcnn_r50-attn1111-dcn_fpn_1x_coco",
    "0010+deformable": "faster-rcnn_r50-attn0010-dcn_fpn_1x_coco",
    "none": "faster-rcnn_r50_fpn_1x_coco",
    "none+deformable": "faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco",
}
ATTENTION = [word for word in CONFIGS if "none" not in word]
CLASSES = [f"class {number}" for number in range(80)]
SIZES = ((160, 224), (224, 160))
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """As much of COCO as a model wants to know."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "annotations").mkdir()
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES)]
    (folder / "annotations/val.json").write_text(json.dumps({"categories": categories}))
    return folder


@pytest.fixture(scope="module")
def grid():
    return {run.mechanism: run for run in load(GRID).runs()}


def job(run, data, **changed):
    recipe = Recipe.model_validate(run.science["recipe"] | changed)
    mechanism = Word.parse(run.mechanism)
    return Job(mechanism, run.sites, 0, recipe, data, data, "cpu", None, None)


def shipped(word):
    register_all_modules(init_default_scope=True)
    return Config.fromfile(published.find(CONFIGS[word]).config)


def theirs(word):
    """MMDetection's own model without a weight or a statistic that is 0 or 1."""
    model = MODELS.build(shipped(word).model | {"init_cfg": None})
    model.backbone.init_cfg = None
    torch.manual_seed(0)
    model.init_weights()
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            last = name.endswith(("bn3", "downsample.1"))  # else sums grow from block to block
            nn.init.uniform_(module.weight, *((0.2, 0.6) if last else (0.5, 1.5)))
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, DeformConv2dPack):
            nn.init.normal_(module.conv_offset.weight, 0, 0.02)
            nn.init.normal_(module.conv_offset.bias, 0, 0.5)
        elif isinstance(module, GeneralizedAttention):
            nn.init.normal_(module.gamma, 0.5, 0.1)
            nn.init.normal_(module.proj_conv.bias, 0, 0.1)
        elif isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.normal_(module.bias, 0, 0.1)
    box, rpn = model.roi_head.bbox_head, model.rpn_head
    for layer, spread in ((box.fc_cls, 0.15), (box.fc_reg, 0.005), (rpn.rpn_cls, 0.1)):
        nn.init.normal_(layer.weight, 0, spread)  # else all scores are alike, and small
    assert all(parameter.abs().sum() > 0 for parameter in model.parameters())
    return model.eval()


def saved(path, model, **meta):
    """As MMDetection 2.0 saved, in the format that torch had then."""
    content = {"meta": {"CLASSES": tuple(CLASSES), **meta}, "state_dict": model.state_dict()}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def samples(sizes):
    """What the loader hands over: images in [0, 255], and their sizes."""
    chance = torch.Generator().manual_seed(7)
    images = [torch.randint(0, 256, (3, *size), generator=chance).byte() for size in sizes]
    packed = [
        DetDataSample(
            metainfo={
                "img_shape": size, "ori_shape": (size[0] // larger, size[1] // larger),
                "scale_factor": (larger, larger),
            }
        )
        for larger, size in enumerate(sizes, 1)
    ]  # fmt: skip
    return {"inputs": images, "data_samples": packed}


def maps(model, batch):
    """Of each level: the backbone's and the pyramid's features, objectness, box deltas."""
    stages = model.backbone(model.data_preprocessor(batch, False)["inputs"])
    levels = model.neck(stages)
    return [*stages, *levels, *(out for outs in model.rpn_head(levels) for out in outs)]


def assert_same_detections(mine, wanted):
    """Compare two sets: which of two boxes comes first may hang on the last digit of their scores.

    Each box has its own partner, of the same label.
    """
    apart = torch.cdist(wanted.bboxes, mine.bboxes, p=torch.inf)
    apart[wanted.labels[:, None] != mine.labels] = 1e6  # pixels
    _, partners = linear_sum_assignment(apart)
    mine = mine[torch.from_numpy(partners)]
    assert len(mine) == len(wanted)
    assert torch.equal(mine.labels, wanted.labels)
    torch.testing.assert_close(mine.scores, wanted.scores, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(mine.bboxes, wanted.bboxes, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("word", ATTENTION)
def test_a_published_model_loads_and_computes_the_same(word, grid, data, tmp_path):
    entry = published.find(CONFIGS[word])
    original = theirs(word)
    path = saved(tmp_path / entry.file, original, config=shipped(word).pretty_text)
    run = job(grid[word], data)
    published.check(run, entry)
    ours = MODELS.build(detector(run, len(CLASSES)))
    weights.load(ours, weights.read(path), CLASSES)
    path.unlink()
    kinds = {type(module).__module__ for module in ours.modules()}
    assert not any(kind.startswith(("mmcv.cnn.bricks.gen", "mmcv.ops.deform")) for kind in kinds)
    ours.eval()
    with torch.no_grad():
        one = SIZES[:1]
        expected = maps(original, samples(one))
        for mine, wanted in zip(maps(ours, samples(one)), expected, strict=True):
            assert wanted.std() > 1e-2
            torch.testing.assert_close(mine, wanted, atol=TOLERANCE, rtol=0)
        for sizes in (one, SIZES):
            found, detected = (model.test_step(samples(sizes)) for model in (ours, original))
            for mine, wanted in zip(found, detected, strict=True):
                assert len(wanted.pred_instances) > 50
                assert_same_detections(mine.pred_instances, wanted.pred_instances)
        # What is compared depends on what is new in these models.
        new = {"gen_attention_block.gamma": True, "conv_offset.weight": "deformable" in word}
        image = ours.data_preprocessor(samples(one), False)["inputs"]
        for part, there in new.items():
            whole = [p for name, p in ours.named_parameters() if name.endswith(part)]
            assert bool(whole) == there
            before = ours.backbone(image)[-1]
            for parameter in whole:
                parameter.zero_()
            assert ((ours.backbone(image)[-1] - before).abs().max() > 100 * TOLERANCE) == there


@pytest.mark.parametrize("word", CONFIGS)
def test_the_grid_is_mmdetections_recipe(word, grid, data):
    entry, run = published.find(CONFIGS[word]), job(grid[word], data)
    config, ours = shipped(word), runner_config(run)
    assert published.differences(run, entry) == []
    assert published.otherwise_evaluated(run, entry) == []
    with torch.device("meta"):
        mine, original = (MODELS.build(model) for model in (ours["model"], config.model))
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (mine, original)]
    assert shapes[0] == shapes[1]
    trained = [{k for k, v in m.named_parameters() if v.requires_grad} for m in (mine, original)]
    assert trained[0] == trained[1]
    # The differences that the grid's head names are not among these.
    optimizer, schedule = ours["optim_wrapper"], ours["param_scheduler"]
    assert optimizer["optimizer"] == config.optim_wrapper.optimizer
    assert optimizer["clip_grad"] is config.optim_wrapper.get("clip_grad") is None
    assert schedule[0] == config.param_scheduler[0].to_dict()
    assert schedule[1]["milestones"] == config.param_scheduler[1].milestones
    assert schedule[1]["gamma"] == config.param_scheduler[1].gamma
    assert ours["train_cfg"]["max_epochs"] == config.train_cfg.max_epochs
    assert run.recipe.batch_size == config.auto_scale_lr.base_batch_size
    steps = [step.to_dict() for step in config.train_dataloader.dataset.pipeline]
    for step in steps:
        step.pop("backend_args", None)
    assert ours["train_dataloader"]["dataset"]["pipeline"] == steps


def test_the_head_of_the_grid_names_configs_and_ap():
    head = GRID.read_text().split("task:")[0]
    for word, config in CONFIGS.items():
        entry = published.find(config)
        (line,) = [line for line in head.splitlines() if f"/{config}.py " in line]
        assert line.endswith(f" AP {100 * entry.metrics['mAP']:.1f}")
        assert line.split()[1] == word
        assert line.split()[2] == f"{entry.config.parent.name}/{entry.config.name}"


def test_the_index_knows_names_configs_and_files():
    entry = published.find("faster-rcnn_r50_fpn_attention_1111_1x_coco")
    assert entry.metrics == {"mAP": 0.4}
    assert entry.file == "faster_rcnn_r50_fpn_attention_1111_1x_coco_20200130-403cccba.pth"
    for word in ("faster_rcnn_r50_fpn_attention_1111_1x_coco", CONFIGS["1111"], entry.file):
        assert published.find(word) == entry
        assert word in published.names()
    other = "faster_rcnn_r50_fpn_attention_0110_1x_coco"
    assert published.find(other) is None
    assert "_fpn_attention_" in nearest(other, published.names())


OTHERS = {
    "faster-rcnn_r50-caffe_fpn_1x_coco": "data_preprocessor.mean.0: 103.53, here 123.675",
    CONFIGS["0010"]: "backbone.plugins.0.cfg.terms: 0010, here 1111",
    CONFIGS["none"]: "backbone.plugins: None, here",
    CONFIGS["1111+deformable"]: "backbone.dcn",
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_published_model_is_refused_before_its_weights_are_read(name, grid, data):
    """The first has the names and shapes of ours, but other images and strides."""
    with pytest.raises(CheckpointError, match=OTHERS[name]):
        published.check(job(grid["1111"], data), published.find(name))


def test_a_file_with_attention_in_conv3_is_told_and_finds_its_grid(grid, data, tmp_path):
    """The configs named conv3, too, when the checkpoints were made."""
    entry = published.find(CONFIGS["0010"])
    config = shipped("0010").model
    config.backbone.update(init_cfg=None)
    config.backbone.plugins[0]["stages"] = (False, True, True, True)
    path = saved(tmp_path / entry.file, MODELS.build(config))
    run = job(grid["0010"], data)
    wider = dataclasses.replace(run, sites=("conv3", "conv4", "conv5"))
    for each in (run, wider):
        published.check(each, entry)
    given = weights.read(path)
    with pytest.raises(CheckpointError, match="stands in conv3, conv4, conv5 there, in conv4, con"):
        weights.load(MODELS.build(detector(run, len(CLASSES))), given, CLASSES)
    weights.load(MODELS.build(detector(wider, len(CLASSES))), given, CLASSES)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.01-coco.py", "type: SoftTeacher, he"),
        (
            "mask-rcnn_r50_fpn_albu-1x_coco",
            "trained it with cannot be read: .* No such",
        ),
    ],
)
def test_what_is_no_detector_like_ours_is_refused(name, reason, grid, data):
    """Some have no backbone of their own, of some the index names a config that is not there."""
    with pytest.raises(CheckpointError, match=reason):
        published.check(job(grid["1111"], data), published.find(name))


def test_how_it_is_evaluated_may_differ_and_is_said(grid, data):
    entry = published.find(CONFIGS["1111"])
    run = job(grid["1111"], data, image_scale=[667, 400])
    published.check(run, entry)
    assert published.otherwise_evaluated(run, entry) == [
        "pipeline.1.scale.0: 1333, here 667", "pipeline.1.scale.1: 800, here 400"
    ]  # fmt: skip


def test_where_deformable_convolution_stands_can_be_said(grid, data):
    run = grid["0010+deformable"]
    assert Recipe(deformable_stages=["conv5", "conv3"]).deformable_stages == ("conv3", "conv5")
    for stages, at in (
        (["conv3"], (False, True, False, False)),
        (None, (False, False, True, True)),
    ):
        backbone = detector(job(run, data, deformable_stages=stages), 80).backbone
        assert tuple(backbone.stage_with_dcn) == at
        assert list(backbone.plugins[0]["stages"]) == [False, False, True, True]
    small = detector(job(run, data, deformable_stages=["conv3"], depth=18), 80).backbone
    assert [step.get("instead_of") or step["before"] for step in small.insert] == [
        "layer2.*.conv1", "layer3.*.conv2", "layer4.*.conv2"
    ]  # fmt: skip
    plain = detector(job(grid["1111"], data), 80).backbone
    assert "dcn" not in plain


@pytest.mark.parametrize(
    ("stages", "reason"),
    [("[conv6]", "'conv2', 'conv3', 'conv4' or 'conv5'"), ("[]", "at least 1 item"),
     ("[conv3, conv3]", "deformable_stages names a stage twice")],
)  # fmt: skip
def test_wrong_stages_are_refused_with_their_line(stages, reason, tmp_path):
    text = GRID.read_text().replace("[conv3, conv4, conv5]", stages)
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(StudyError, match=rf"grid.yaml:\d+: .*{reason}"):
        load(tmp_path / "grid.yaml")


def test_the_verb_evaluates_by_the_name_of_the_index(grid, tmp_path, monkeypatch):
    """As a user does who has COCO, of which here is one image; the file is in torch's cache."""
    coco = tmp_path / "coco"
    (coco / "annotations").mkdir(parents=True)
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    for number, split in enumerate(("train2017", "val2017")):
        (coco / split).mkdir()
        Image.new("RGB", (96, 64), (90, 30, 200)).save(coco / split / f"{number}.jpg")
        image = {"id": number, "file_name": f"{number}.jpg", "width": 96, "height": 64}
        box = {"id": number + 1, "image_id": number, "category_id": 1, "iscrowd": 0, "area": 600,
               "bbox": [9, 9, 30, 20]}  # fmt: skip
        content = {"images": [image], "annotations": [box], "categories": categories}
        (coco / f"annotations/instances_{split}.json").write_text(json.dumps(content))
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    datasets.prepare_from("coco", coco, subset=True)
    cache = tmp_path / "torch/hub/checkpoints"
    cache.mkdir(parents=True)
    name = "faster_rcnn_r50_fpn_attention_0010_1x_coco"
    entry = published.find(name)
    command = [
        sys.executable, "-m", "study", "evaluate", GRID, "--checkpoint", name, "--mechanism",
        "0010", "--json",
    ]  # fmt: skip
    options = {"capture_output": True, "text": True, "check": False}
    options["env"] = os.environ | {"OMP_NUM_THREADS": "1"}
    file = saved(cache / entry.file, theirs("0010"))
    done = subprocess.run(command, **options)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    assert done.returncode == 2
    assert f"begins with {digest}, not with {entry.file[-12:-4]}" in done.stderr
    # With its own hash in the name, here and in the index, it is what was published.
    file.rename(cache / f"net-{digest}.pth")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "from plugins.detection import published\n"
        "entries = published._entries\n"
        f"published._entries = lambda root: (e._replace(weights=e.weights.replace({entry.file!r},"
        f" 'net-{digest}.pth')) for e in entries(root))\n"
    )
    files = sorted(tmp_path.rglob("*"))
    options["env"] |= {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, **options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["published"] == {"mAP": 0.391}
    assert found["name"] == "faster-rcnn_r50_fpn_attention_0010_1x_coco"
    assert found["notes"] == ["the data set is a part of COCO 2017"]
    assert found["metrics"].keys() >= {"mAP", "mAP_50", "mAP_75"}
    assert sorted(tmp_path.rglob("*")) == files
