"""Blocks in backbones that have no plugins: where they stand, and that they start as nothing."""

import copy
import re
from pathlib import Path

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from plugins.attention import DeformableConv2d, GeneralizedAttention2d
from plugins.attention.core.word import Word
from plugins.attention.maps import cost
from plugins.openmmlab import blocks, sites  # noqa: F401  blocks registers itself
from plugins.openmmlab.insertion import insert_blocks

ROOT = Path(__file__).parents[2]
BLOCK = {"type": "GeneralizedAttention2d", "terms": "1111", "heads": 4, "kv_stride": 2}
NAME = "gen_attention_block"


class ConvNeXtBlock(nn.Module):
    """Liu et al. 2022, https://arxiv.org/abs/2201.03545, with MMPretrain's names."""

    def __init__(self, channels):
        super().__init__()
        self.depthwise_conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.pointwise_conv1 = nn.Linear(channels, 4 * channels)
        self.pointwise_conv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x):
        out = self.norm(self.depthwise_conv(x).permute(0, 2, 3, 1))
        out = self.pointwise_conv2(nn.functional.gelu(self.pointwise_conv1(out)))
        return x + (self.gamma * out).permute(0, 3, 1, 2)


@MODELS.register_module()
class TwoStagesOfConvNeXt(nn.Module):
    def __init__(self):
        super().__init__()
        self.downsample_layers = nn.ModuleList(
            [nn.Conv2d(3, 16, 4, stride=4), nn.Conv2d(16, 32, 2, stride=2)]
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(channels) for _ in range(2))) for channels in (16, 32)
        )

    def forward(self, x):
        outs = []
        for shrink, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(shrink(x))
            outs.append(x)
        return tuple(outs)


SWIN = {
    "type": "SwinTransformer", "embed_dims": 16, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8),
}  # fmt: skip
# Backbone, place, path, where the blocks then are, channels that pass there.
CASES = {
    "BasicBlock": (
        {"type": "ResNet", "depth": 18, "base_channels": 16},
        "before",
        "layer[34].*.conv2",
        {f"layer{s}.{b}.{NAME}": 16 * 2 ** (s - 1) for s in (3, 4) for b in (0, 1)},
    ),
    "after the norm of a BasicBlock": (
        {"type": "ResNet", "depth": 18, "base_channels": 16},
        "after",
        "layer4.*.bn2",
        {f"layer4.{b}.{NAME}": 128 for b in (0, 1)},
    ),
    "Bottleneck": (
        {"type": "ResNet", "depth": 50, "base_channels": 8},
        "before",
        "layer4.*.conv3",
        {f"layer4.{b}.{NAME}": 64 for b in range(3)},
    ),
    "stage of Bottlenecks": (
        {"type": "ResNet", "depth": 50, "base_channels": 8},
        "after",
        "layer[34]",
        {NAME: 128, f"layer4_{NAME}": 256},
    ),
    "Res2Net": (
        {"type": "Res2Net", "depth": 50, "scales": 4, "base_width": 26, "base_channels": 16},
        "before",
        "layer4.*.conv3",
        {f"layer4.{b}.{NAME}": 4 * 208 for b in range(3)},
    ),
    "ConvNeXt": (
        {"type": "TwoStagesOfConvNeXt"},
        "after",
        "stages.1.*.depthwise_conv",
        {f"stages.1.{b}.{NAME}": 32 for b in (0, 1)},
    ),
    "ConvNeXt block": (
        {"type": "TwoStagesOfConvNeXt"},
        "after",
        "stages.1.1",
        {f"stages.1.1.{NAME}": 32},
    ),
    "Swin": (
        SWIN,
        "after",
        "stages.[23].blocks.*",
        {**{f"stages.2.blocks.{b}.{NAME}": 64 for b in (0, 1)}, f"stages.3.blocks.0.{NAME}": 128},
    ),
}


@pytest.fixture(autouse=True)
def _mmdetection():
    before = DefaultScope.get_current_instance()
    register_all_modules(init_default_scope=True)
    yield
    if before is not None:
        DefaultScope.get_instance(before.instance_name, scope_name=before.scope_name)


def built(config):
    """Build a backbone for evaluation; `eval` of MMDetection's ResNet returns nothing."""
    model = MODELS.build(dict(config))
    model.eval()
    return model


@pytest.fixture(params=CASES, name="case")
def _case(request):
    """A plain backbone, the same with blocks, and where these should be."""
    backbone, place, path, expected = CASES[request.param]
    torch.manual_seed(0)
    plain = built(backbone)
    arguments = {key: value for key, value in backbone.items() if key != "type"}
    entry = {place: path, "cfg": BLOCK}
    attended = built(
        {"type": "WithBlocks", "backbone": backbone["type"], "insert": [entry], **arguments}
    )
    missing = attended.load_state_dict(plain.state_dict(), strict=False)
    assert missing.unexpected_keys == []
    return plain, attended, expected


def attention(model):
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, GeneralizedAttention2d)
    }


IMAGE = torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(1))


def test_blocks_stand_where_the_path_leads(case):
    _, attended, expected = case
    assert {name: block.channels for name, block in attention(attended).items()} == expected


def test_only_the_parameters_of_the_blocks_are_added(case):
    plain, attended, expected = case
    added = set(attended.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) <= set(attended.state_dict())
    assert all(any(name.startswith(f"{block}.") for block in expected) for name in added)
    before, after = (sum(p.numel() for p in model.parameters()) for model in (plain, attended))
    forms = (
        cost.generalized((1, 1), channels, heads=4, terms="1111", kv_stride=2)
        for channels in expected.values()
    )
    assert after - before == sum(form.parameters for form in forms)


def test_a_new_block_changes_nothing_and_a_trained_one_does(case):
    plain, attended, expected = case
    before, at_first = plain(IMAGE), attended(IMAGE)
    for a, b in zip(at_first, before, strict=True):
        # A convolution rounds by how its input lies in memory.
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    for block in attention(attended).values():
        block.gamma.data.fill_(1)
    after = attended(IMAGE)
    assert not torch.allclose(after[-1], before[-1])
    after[-1].square().sum().backward()
    grads = [block.query_conv.weight.grad for block in attention(attended).values()]
    assert len(grads) == len(expected)
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)


@pytest.mark.parametrize("word", ["nonlocal", "cbam", "1111"])
@pytest.mark.parametrize(
    ("where", "modules", "number"),
    [
        ("before", "stem.3", 1),
        ("after", "stem.*", 9),
        ("before", "layer3.*.conv2", 2),
        ("after", "layer2", 1),
    ],
)
def test_a_block_begins_as_its_class_says_wherever_it_stands(where, modules, number, word):
    cfg = {"type": "Mechanism", "word": word, "heads": 1, "kv_stride": 1}
    model = MODELS.build(
        {
            "type": "WithBlocks",
            "backbone": "ResNet",
            "depth": 18,
            "deep_stem": True,
            "base_channels": 16,
            "insert": [{where: modules, "cfg": cfg}],
        }
    )
    placed = {name: m for name, m in model.named_modules() if hasattr(m, "mechanism")}
    assert len(placed) == number
    constant = {
        f"{name}.{inner}": parameter.clone()
        for name, block in placed.items()
        for inner, parameter in block.named_parameters()
        if parameter.numel() > 1 and parameter.std(correction=0) == 0
    }
    assert constant
    model.init_weights()
    now = dict(model.named_parameters())
    for name, before in constant.items():
        torch.testing.assert_close(now[name], before, msg=name)


def test_each_of_several_blocks_at_a_module_is_in_the_model():
    where = ("before:layer3.0.conv3", "before:layer3.*.conv3", "after:layer3.0.conv2")
    where += ("before:layer?.0.conv3",)
    cfg = {"type": "Mechanism", "word": "global_context:reduction=2"}
    plain = MODELS.build({"type": "ResNet", "depth": 50, "base_channels": 8})
    insertions = [{at: path, "cfg": cfg} for at, _, path in (w.partition(":") for w in where)]
    placed = [m for m in insert_blocks(plain, insertions).modules() if hasattr(m, "mechanism")]
    assert len(placed) == 1 + 6 + 1 + 4
    calls = []
    for block in placed:
        block.register_forward_hook(lambda module, args, out: calls.append(module))
    plain(IMAGE)
    assert len(calls) == len({*calls}) == len(placed)


def test_a_copy_has_blocks_of_its_own(case):
    _, attended, _ = case
    copied = copy.deepcopy(attended)
    for block in attention(copied).values():
        block.gamma.data.fill_(1)
    assert not torch.allclose(copied(IMAGE)[-1], attended(IMAGE)[-1])


@pytest.mark.parametrize("word", ["1111", "0010+deformable"])
def test_a_bottleneck_is_as_with_the_frameworks_plugins(word):
    plugins = sites.backbone_arguments(Word.parse(word), ("conv5",), heads=4, kv_stride=2)
    plain = {"depth": 50, "base_channels": 8}
    theirs = built({"type": "ResNet", **plain, **plugins})
    entries = [{"before": "layer4.*.conv3", "cfg": plugins["plugins"][0]["cfg"]}]
    if "dcn" in plugins:
        entries.append({"instead_of": "layer4.*.conv2", "cfg": {"type": "DeformableConv2d"}})
    ours = insert_blocks(built({"type": "ResNet", **plain}), entries)
    ours.eval()
    for block in attention(theirs).values():
        block.gamma.data.fill_(1)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(ours(IMAGE), theirs(IMAGE), strict=True))


def test_a_convolution_is_replaced_with_its_shape_and_weight():
    torch.manual_seed(0)
    plain = built({"type": "ResNet", "depth": 18, "base_channels": 16})
    before = plain(IMAGE)
    entry = {"instead_of": "layer[34].*.conv1", "cfg": {"type": "DeformableConv2d"}}
    names = set(plain.state_dict())
    moved = insert_blocks(plain, [entry])
    assert sum(isinstance(m, DeformableConv2d) for m in moved.modules()) == 4
    assert moved.layer4[0].conv1.stride == 2
    assert names <= set(moved.state_dict())
    for a, b in zip(moved(IMAGE), before, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_looking_for_the_channels_leaves_the_backbone_as_it_was():
    torch.manual_seed(0)
    backbone = MODELS.build(
        {"type": "ResNet", "depth": 18, "base_channels": 16, "norm_eval": False}
    )
    backbone.layer1.eval()
    modes = {name: module.training for name, module in backbone.named_modules()}
    state, random = copy.deepcopy(backbone.state_dict()), torch.get_rng_state()
    insert_blocks(backbone, [{"after": "layer4.1.bn2", "cfg": {"type": "Identity4d"}}])
    assert {n: m.training for n, m in backbone.named_modules() if n in modes} == modes
    assert all(torch.equal(state[name], value) for name, value in backbone.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


@MODELS.register_module()
class Identity4d(nn.Module):
    def __init__(self, in_channels):
        super().__init__()

    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("backbone", "entry", "told"),
    [
        (CASES["BasicBlock"][0], {"after": "layer4.*.conv3"}, "is it 'layer4.1.conv2'?"),
        (CASES["BasicBlock"][0], {"behind": "layer4"}, "one of before, after, instead_of"),
        (CASES["BasicBlock"][0], {"instead_of": "layer4.*.bn1"}, "is no convolution"),
        (SWIN, {"after": "stages.3"}, "at 'stages.3' no feature map passes, but tuple"),
        (SWIN, {"after": "stages.3.blocks.0.norm1"}, "is not told their"),
    ],
)
def test_a_mistake_is_told(backbone, entry, told):
    model = MODELS.build(dict(backbone))
    with pytest.raises(ValueError, match=re.escape(told)):
        insert_blocks(model, [{**entry, "cfg": BLOCK}])(IMAGE)


def test_a_stock_config_with_the_lines_of_the_page(tmp_path):
    """The second config in docs/coco.md, built and run as MMDetection builds it."""
    page = (ROOT / "docs/coco.md").read_text()
    config = tmp_path / "basic.py"
    config.write_text(re.findall(r"```python\n(.*?)```", page, re.S)[1])
    model = Config.fromfile(config).model
    model.backbone.init_cfg = None
    detector = MODELS.build(model)
    detector.init_weights()
    names = set(attention(detector))
    assert names == {f"backbone.layer{s}.{b}.{NAME}" for s in (3, 4) for b in (0, 1)}
    assert all(block.gamma.item() == 0 for block in attention(detector).values())
    assert len(detector.eval().extract_feat(IMAGE)) == 5


def test_a_backbone_that_tells_plugins_a_wrong_number_of_channels_is_told_what_works():
    register_all_modules(init_default_scope=True)
    plugin = {"cfg": BLOCK, "stages": (False, False, True, False), "position": "after_conv2"}
    model = MODELS.build({"type": "mmdet.Res2Net", "depth": 50, "plugins": [plugin]})
    with pytest.raises(ValueError, match=r"built for 256 channels and is given 416; .*WithBlocks"):
        model(torch.zeros(1, 3, 64, 64))
    here = {"type": "WithBlocks", "backbone": "Res2Net", "depth": 50}
    model = MODELS.build({**here, "insert": [{"before": "layer3.*.conv3", "cfg": BLOCK}]})
    assert model(torch.zeros(1, 3, 64, 64))[2].shape == (1, 1024, 4, 4)
