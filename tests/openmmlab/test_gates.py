"""Gates in a ResNet: they stand where they should, start open, and live with frozen statistics."""

from __future__ import annotations

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.registry import MODELS, DefaultScope
from torch.nn.modules.batchnorm import _BatchNorm

from plugins.attention.core.cost import mechanisms_of
from plugins.attention.core.word import Word
from plugins.openmmlab.norm import JointBatchNorm2d, normalise_jointly
from plugins.openmmlab.sites import attend

SITES = ("conv4", "conv5")
WORDS = {
    "cbam": {"mlp", "conv", "norm"},
    "gather_excite:parameters=plus:extent=2": {"gather", "excite"},
    "residual_attention": {"mask"},
    "selective_kernel": {"wider", "select"},
}
"""The names of what each brings, within the module of a block."""


@pytest.fixture(scope="module", autouse=True)
def _mmdet():
    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def network(word, depth=50, sites=SITES, **options):
    """A narrow ResNet, initialised as MMEngine does it."""
    torch.manual_seed(0)
    cfg = {"type": "ResNet", "depth": depth, "base_channels": 8, "out_indices": (2, 3)}
    cfg |= {"zero_init_residual": False, **options}
    attend(cfg, Word.parse(word), sites, heads=2, kv_stride=2)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.fixture(scope="module", params=[18, 50])
def pretrained(request, _mmdet):
    """A network without gates whose statistics are those of some images, and the images."""
    model, x = network("none", request.param), torch.randn(4, 3, 64, 96)
    model.train()
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model(x)
    model.train(False)
    return model, x


def with_gates(word, plain, **options):
    """A network with gates and the weights of one without; the names that only it has."""
    model = network(word, plain.depth, **options)
    left = model.load_state_dict(plain.state_dict(), strict=False)
    assert not left.unexpected_keys
    return model, left.missing_keys


@pytest.mark.parametrize("word", WORDS)
def test_a_network_with_its_weights_is_hardly_disturbed(word, pretrained):
    """Gates of 0.98 in every block; half-open ones would take half of it."""
    plain, x = pretrained
    model, brought = with_gates(word, plain)
    assert brought
    assert all(WORDS[word] & set(name.split(".")) for name in brought)
    blocks = sum(hasattr(module, "mechanism") for module in model.modules())
    assert blocks == {18: 4, 50: 9}[plain.depth]
    model.train(False)
    with torch.no_grad():
        for before, after in zip(plain(x), model(x), strict=True):
            assert ((after - before).norm() / before.norm()).item() < 0.15


@pytest.mark.parametrize("word", WORDS)
def test_where_detection_freezes_statistics_the_gates_learn(word, pretrained):
    """One image a step, whose last map is 1x2."""
    plain, x = pretrained
    model, brought = with_gates(word, plain, norm_eval=True)
    model.train()
    norms = {n: m for n, m in model.named_modules() if isinstance(m, _BatchNorm)}
    assert not any(norm.training for norm in norms.values())
    x = x[:1, :, :32, :64]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for _ in range(3):  # what is behind a layer of zeros moves once that has
        optimizer.zero_grad()
        sum(out.mean() for out in model(x)).backward()
        optimizer.step()
    parameters, kinds, moved = dict(model.named_parameters()), set(), set()
    for name, tensor in model.state_dict().items():
        assert tensor.isfinite().all().item(), name
        same = torch.equal(tensor, before[name])
        if name not in parameters:
            assert same, name
        elif name in brought:
            kind = name.split(".", 3)[-1]  # in whatever block; a small hidden layer can be dead
            kinds.add(kind)
            moved |= set() if same else {kind}
    assert moved == kinds
    with torch.no_grad():
        training = model(x)
        model.train(False)
        torch.testing.assert_close(training, model(x))


@pytest.mark.parametrize("word", WORDS)
def test_over_processes_the_batch_is_normalised_jointly(word):
    model = normalise_jointly(network(word), "cpu")
    norms = [m for module in mechanisms_of(model).values() for m in module.modules()]
    norms = [m for m in norms if isinstance(m, _BatchNorm)]
    assert all(isinstance(norm, JointBatchNorm2d) for norm in norms)
    assert bool(norms) == (word != "selective_kernel")
    assert {norm.momentum for norm in norms} <= {0.01 if word == "cbam" else 0.1}


def test_each_stands_before_the_sum_by_the_path_of_the_last_norm():
    model = network("cbam", sites=("after:layer[34].*.bn3",))
    blocks = {n: m for n, m in model.named_modules() if hasattr(m, "mechanism")}
    assert len(blocks) == 9
    assert {m.mlp[2].out_features for m in blocks.values()} == {8 * 4 * 4, 8 * 8 * 4}
