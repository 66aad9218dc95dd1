"""The detector of a run: what stands where, and what it costs."""

import re

import pytest
from mmengine.registry import MODELS, init_default_scope

from plugins.attention import DeformableConv2d, GeneralizedAttention2d
from plugins.attention.core.cost import mechanisms_of
from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.detection.config import detector, training_config
from plugins.detection.recipe import Recipe
from plugins.detection.task import Detection
from plugins.detection.train import cost
from plugins.openmmlab import sites as common
from study import data

pytestmark = pytest.mark.data


def job(mechanism, sites=Detection.default_sites, **recipe):
    return Job(
        mechanism=Word.parse(mechanism),
        sites=sites,
        seed=0,
        recipe=Recipe(**recipe),
        data=data.path("trees"),
        folder=None,
        device="cpu",
        record=None,
        recorded=None,
    )


@pytest.fixture(scope="module")
def plain():
    return cost(job("none"))


def test_none_brings_no_module(plain):
    assert plain.mechanism == {"macs": 0, "executed_macs": 0, "parameters": 0}


@pytest.mark.parametrize("mechanism", ["1111", "0010", "dynamic", "0100@3"])
def test_a_mechanism_costs_what_it_adds_to_the_whole(plain, mechanism):
    counted = cost(job(mechanism))
    for unit in ("macs", "parameters"):
        assert counted.model[unit] - plain.model[unit] == counted.mechanism[unit] > 0


@pytest.mark.parametrize("mechanism", ["none+deformable", "0010+deformable"])
def test_deformable_convolution_costs_its_offsets(plain, mechanism):
    counted = cost(job(mechanism))
    for unit in ("macs", "parameters"):
        assert counted.model[unit] - plain.model[unit] == counted.mechanism[unit] > 0
    assert "aten.grid_sampler_2d" in counted.uncounted


@pytest.mark.parametrize(
    ("word", "sites", "recipe", "where"),
    [
        ("1111", ("conv2", "conv4"), {"frozen_stages": 1}, "conv2"),
        ("0000+deformable", ("conv3",), {"frozen_stages": 2, "depth": 18}, "conv3"),
        (
            "0000+deformable",
            ("conv4",),
            {"frozen_stages": 1, "deformable_stages": ("conv2", "conv4")},
            "conv2",
        ),
        ("cbam", ("before:layer[12].*.conv3",), {"frozen_stages": 1}, "before:layer"),
        ("none+deformable", ("instead_of:conv1",), {"frozen_stages": 0}, "instead_of:conv1"),
    ],
)
def test_what_would_stand_in_a_frozen_stage_is_refused(word, sites, recipe, where):
    parsed = Word.parse(word)
    with pytest.raises(ValueError, match=f"would learn nothing at '{re.escape(where)}"):
        Detection().check(parsed, sites, Recipe(**recipe))
    Detection().check(parsed, sites, Recipe(**{**recipe, "frozen_stages": -1}))


def backbone(asked):
    init_default_scope("mmdet")
    return MODELS.build(detector(asked, 2).backbone)


def test_the_check_knows_what_the_backbone_freezes():
    for depth in (18, 50):
        for stages in (-1, 1, 3):
            asked = job("1111", common.STAGES, depth=depth, base_channels=8, frozen_stages=stages)
            model = backbone(asked)
            model.train()
            for name, block in model.named_modules():
                if isinstance(block, GeneralizedAttention2d):
                    stage = common.STAGES[int(name[len("layer")]) - 1]
                    trained = all(p.requires_grad for p in block.parameters())
                    assert trained != common.frozen(stage, stages), (depth, stages, name)


def test_only_deformable_convolution_follows_its_stages():
    asked = job("selective_kernel", ("conv5",), deformable_stages=("conv3",))
    model = backbone(asked)
    stages = {name.split(".")[0] for name, m in model.named_modules() if hasattr(m, "mechanism")}
    assert stages == {"layer4"}


def test_without_warm_up_the_rate_begins_where_it_is():
    (decay,) = training_config(job("none", warmup_iterations=0), 2)["param_scheduler"]
    assert decay["type"] == "MultiStepLR"


def test_depth_50_has_nine_blocks_in_conv4_and_conv5():
    from mmdet.utils import register_all_modules
    from mmengine.registry import MODELS

    register_all_modules(init_default_scope=True)
    model = MODELS.build(detector(job("0010+deformable", depth=50), 1))
    blocks = [m for m in model.modules() if isinstance(m, GeneralizedAttention2d)]
    assert len(blocks) == 9
    assert all(block.terms == "0010" and block.kv_stride == 2 for block in blocks)
    assert sum(isinstance(m, DeformableConv2d) for m in model.modules()) == 9
    assert len(mechanisms_of(model)) == 18
    only = MODELS.build(detector(job("1111", sites=("conv5",), depth=50), 1))
    assert [name.split(".")[1] for name in mechanisms_of(only)] == ["layer4"] * 3


def test_the_papers_model_can_be_written_down():
    recipe = Recipe(
        depth=50,
        base_channels=64,
        fpn_channels=256,
        head_channels=1024,
        proposals=1000,
        rois=512,
        image_scale=(1333, 800),
        pretrained="torchvision://resnet50",
        frozen_stages=1,
        optimizer="sgd",
        learning_rate=0.02,
    )
    word, where = Word.parse("1111"), Detection.default_sites
    config = detector(Job(word, where, 0, recipe, None, None, "cpu", None, None), 80)
    assert config.backbone.plugins[0]["cfg"]["kv_stride"] == 2
    assert config.backbone.norm_eval
    assert config.neck.in_channels == [256, 512, 1024, 2048]
