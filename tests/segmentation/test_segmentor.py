"""The segmentation model of a run: what stands where, what it costs, and a stock config."""

import subprocess
import sys
import textwrap
from pathlib import Path

import mmseg
import pytest
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from plugins.attention import GeneralizedAttention2d
from plugins.attention.core.cost import mechanisms_of
from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.segmentation.config import AttendedFCNHead, segmentor
from plugins.segmentation.recipe import Recipe
from plugins.segmentation.task import Segmentation
from plugins.segmentation.train import cost
from study import data


def job(mechanism, sites=Segmentation.default_sites, **recipe):
    return Job(
        mechanism=Word.parse(mechanism),
        sites=sites,
        seed=0,
        recipe=Recipe(**recipe),
        data=data.path("landcover"),
        folder=None,
        device="cpu",
        record=None,
        recorded=None,
    )


@pytest.mark.data
@pytest.mark.parametrize(
    "mechanism",
    [
        *("1111", "0010", "dynamic", "none+deformable", "0110@2"),
        *("nonlocal", "global_context", "criss_cross", "sagan", "object_context:form=asp"),
    ],
)
def test_a_mechanism_costs_what_it_adds_to_the_whole(mechanism):
    plain, counted = cost(job("none")), cost(job(mechanism))
    assert plain.mechanism == {"macs": 0, "executed_macs": 0, "parameters": 0}
    for unit in ("macs", "parameters"):
        assert counted.model[unit] - plain.model[unit] == counted.mechanism[unit] > 0


@pytest.mark.data
def test_the_extra_module_stands_between_the_convolutions_of_the_head():
    register_all_modules(init_default_scope=True)
    model = MODELS.build(segmentor(job("0110", depth=50), 7))
    assert len(mechanisms_of(model)) == 6 + 3 + 1
    assert isinstance(model.decode_head, AttendedFCNHead)
    assert isinstance(model.decode_head.block, GeneralizedAttention2d)
    assert model.decode_head.block.channels == model.decode_head.channels
    strides = [model.backbone.layer3[0].conv2.stride, model.backbone.layer4[0].conv2.stride]
    assert strides == [(1, 1), (1, 1)]  # dilated: both stages keep the resolution of conv3
    only = MODELS.build(segmentor(job("0110", sites=("head",)), 7))
    assert list(mechanisms_of(only)) == ["decode_head.block"]


def test_deformable_convolution_needs_a_backbone_stage():
    with pytest.raises(ValueError, match="there is none of that at 'head'"):
        Segmentation().check(Word.parse("0010+deformable"), ("head",), Recipe())
    Segmentation().check(Word.parse("0010+deformable"), ("conv5", "head"), Recipe())


def test_a_stock_config_that_names_our_block_works_by_itself(tmp_path):
    shipped = (
        Path(mmseg.__file__).parent / ".mim/configs/fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py"
    )
    config = tmp_path / "config.py"
    config.write_text(
        f"_base_ = {str(shipped)!r}\n"
        + textwrap.dedent(
            """
            custom_imports = dict(imports=['plugins.openmmlab.blocks'], allow_failed_imports=False)
            model = dict(pretrained=None, backbone=dict(
                plugins=[dict(cfg=dict(type='GeneralizedAttention2d', terms='1111'),
                              stages=(False, False, True, True), position='after_conv2')],
                dcn=dict(type='DeformableConv2d', fallback_on_stride=False),
                stage_with_dcn=(False, False, False, True)))
            """
        )
    )
    script = f"""
        import sys, torch
        from mmengine.config import Config
        from mmengine.model import revert_sync_batchnorm
        from mmseg.registry import MODELS
        from mmseg.utils import register_all_modules
        cfg = Config.fromfile({str(config)!r})
        register_all_modules()
        cfg.model.data_preprocessor = None
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        model.init_weights()
        kinds = [type(module).__name__ for module in model.modules()]
        assert kinds.count("GeneralizedAttention2d") == 9
        assert model(torch.randn(2, 3, 64, 32), mode="tensor").shape == (2, 19, 8, 4)
        assert not any(name in sys.modules for name in ("study", "plugins.segmentation"))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
