"""Our blocks in MMDetection's own configs, brought in by custom_imports and nothing else."""

import subprocess
import sys
import textwrap
from pathlib import Path

import mmdet
import pytest

SHIPPED = Path(mmdet.__file__).parent / ".mim/configs"


def build(tmp_path, changes, then):
    """Build a shipped config with `changes` in a fresh process, and run `then` there."""
    config = tmp_path / "config.py"
    config.write_text(
        f"_base_ = {str(SHIPPED / 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')!r}\n"
        "custom_imports = dict(imports=['plugins.openmmlab.blocks'], allow_failed_imports=False)\n"
        + textwrap.dedent(changes)
    )
    script = f"""
        import sys, torch
        from mmengine.config import Config
        from mmdet.registry import MODELS
        from mmdet.utils import register_all_modules
        cfg = Config.fromfile({str(config)!r})
        register_all_modules()
        cfg.model.backbone.init_cfg = None
        model = MODELS.build(cfg.model)
        model.init_weights()
        assert not any(name in sys.modules for name in ("study", "plugins.detection"))
    """
    code = textwrap.dedent(script) + textwrap.dedent(then)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_generalized_attention_stands_after_the_3x3_of_conv4_and_conv5(tmp_path):
    build(
        tmp_path,
        """
        model = dict(backbone=dict(plugins=[dict(
            cfg=dict(type='GeneralizedAttention2d', terms='0110', heads=8, kv_stride=2),
            stages=(False, False, True, True), position='after_conv2')]))
        """,
        """
        name = "GeneralizedAttention2d"
        blocks = [n for n, m in model.named_modules() if type(m).__name__ == name]
        assert blocks == [f"backbone.layer{s}.{b}.gen_attention_block"
                          for s, count in ((3, 6), (4, 3)) for b in range(count)], blocks
        x = torch.randn(1, 3, 64, 96)
        model.eval()
        for name, value in model.named_parameters():
            if name.endswith("bn3.weight"):
                value.data.fill_(1)  # 0 at first: a residual block starts as the identity
        before = model.backbone(x)
        for name, value in model.named_parameters():
            if name.endswith("gamma"):
                assert value.item() == 0
                value.data.fill_(1)
        after = model.backbone(x)
        assert torch.equal(before[1], after[1])  # conv3: no block
        assert not torch.equal(before[2], after[2])
        assert not torch.equal(before[-1], after[-1])
        after[-1].sum().backward()
        assert model.backbone.layer3[0].gen_attention_block.query_conv.weight.grad.abs().sum() > 0
        """,
    )


def test_deformable_convolution_takes_the_place_of_the_3x3(tmp_path):
    build(
        tmp_path,
        """
        model = dict(backbone=dict(
            dcn=dict(type='DeformableConv2d', deform_groups=1, fallback_on_stride=False),
            stage_with_dcn=(False, False, True, True)))
        """,
        """
        from plugins.attention import DeformableConv2d
        layers = [model.backbone.layer2, model.backbone.layer3, model.backbone.layer4]
        kinds = [{type(block.conv2) for block in layer} for layer in layers]
        assert kinds == [{torch.nn.Conv2d}, {DeformableConv2d}, {DeformableConv2d}]
        assert model.backbone.layer3[1].conv2.conv_offset.weight.abs().sum() == 0
        model.extract_feat(torch.randn(1, 3, 64, 96))
        """,
    )


def test_dynamic_convolution_is_a_plugin_too(tmp_path):
    build(
        tmp_path,
        """
        model = dict(backbone=dict(plugins=[dict(
            cfg=dict(type='DynamicConv2d', heads=8, kernel_size=5),
            stages=(False, False, False, True), position='after_conv2')]))
        """,
        """
        assert model.backbone.layer4[2].dynamic_conv_block.kernel_size == 5
        model.extract_feat(torch.randn(1, 3, 64, 96))
        """,
    )


@pytest.mark.parametrize("terms", ["1111", "0010"])
def test_mmdetections_own_attention_config_has_our_parameter_names(tmp_path, terms):
    """Its block is mmcv's; a state dict of the one loads into the other without a difference."""
    theirs = SHIPPED / f"empirical_attention/faster-rcnn_r50-attn{terms}_fpn_1x_coco.py"
    build(
        tmp_path,
        f"""
        model = dict(backbone=dict(plugins=[dict(
            cfg=dict(type='GeneralizedAttention2d', terms='{terms}', heads=8, kv_stride=2),
            stages=(False, False, True, True), position='after_conv2')]))
        """,
        f"""
        other = Config.fromfile({str(theirs)!r})
        other.model.backbone.init_cfg = None
        model.load_state_dict(MODELS.build(other.model).state_dict(), strict=True)
        """,
    )
