"""Which weights a model takes, and why it refuses the others."""

from __future__ import annotations

import os

import pytest
import torch
from mmcv.cnn.bricks import GeneralizedAttention
from mmcv.ops import DeformConv2dPack
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from plugins.attention import DeformableConv2d, GeneralizedAttention2d
from plugins.attention.core.word import TERM_SETS
from plugins.contracts.job import CheckpointError
from plugins.openmmlab import (
    blocks,  # noqa: F401  registers itself
    weights,
)
from plugins.openmmlab.attention_config import blocks_in, parts_of
from plugins.openmmlab.checkpoints import read
from plugins.training.downloads import download

CHANNELS, HEADS = 16, 4
WRONG = ("0100", "0110", "1100", "1110")
CLASSES = ("car", "bus")


def network(block, stage=3, offsets=None):
    """As much of a detector as has names: a block, and perhaps a deformable convolution."""
    model, residual = nn.Module(), nn.Module()
    model.backbone = nn.Module()
    model.backbone.add_module(f"layer{stage}", nn.ModuleList([residual]))
    residual.gen_attention_block = block
    if offsets is not None:
        residual.conv2 = offsets
    return model


def ours(terms="1111", **options):
    return network(GeneralizedAttention2d(CHANNELS, **{"heads": HEADS, "terms": terms, **options}))


def theirs(terms="1111", **options):
    torch.manual_seed(1)
    options = {"num_heads": HEADS, "attention_type": terms, **options}
    block = GeneralizedAttention(CHANNELS, **options)
    nn.init.normal_(block.gamma)
    config = {"type": "GeneralizedAttention", **options}
    return network(block), Config({"model": {"plugins": [{"cfg": config}]}}).pretty_text


def loaded(model, path, state, classes=CLASSES, parts=None, **meta):
    """Save as MMCV does, read, and load."""
    torch.save({"state_dict": state, "meta": {"CLASSES": CLASSES, **meta}}, path)
    weights.load(model, weights.read(path), classes, parts)


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_mmcvs_weights_mean_the_same_or_are_refused(terms, said, tmp_path):
    block, text = theirs(terms)
    model = ours(terms)
    meta = {"config": text} if said else {}
    if terms in WRONG:
        before = {name: value.clone() for name, value in model.state_dict().items()}
        reason = f"the terms {terms}, which it computes wrongly" if said else "with E2 and without"
        with pytest.raises(CheckpointError, match=reason):
            loaded(model, tmp_path / "theirs.pth", block.state_dict(), **meta)
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        return
    loaded(model, tmp_path / "theirs.pth", block.state_dict(), **meta)
    x = torch.randn(2, CHANNELS, 7, 10)
    outputs = [net.backbone.layer3[0].gen_attention_block(x) for net in (model, block)]
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("terms", WRONG)
def test_ours_of_the_same_terms_load(terms, tmp_path):
    config = {"type": "GeneralizedAttention2d", "terms": terms, "heads": HEADS, "kv_stride": 2}
    text = Config({"model": {"plugins": [{"cfg": config}]}}).pretty_text
    trained, model = ours(terms), ours(terms)
    loaded(model, tmp_path / "ours.pth", trained.state_dict(), cfg=text)
    for name, value in model.state_dict().items():
        assert torch.equal(value, trained.state_dict()[name])


OTHERWISE = {
    "num_heads": (2, "heads 2 instead of 4"),
    "kv_stride": (1, "kv_stride 1 instead of 2"),
    "q_stride": (2, "q_stride 2 instead of 1"),
    "position_magnitude": (3, "position_magnitude 3 instead of 1"),
    "attention_type": ("1011", "terms '1011' instead of '1111'"),
}


@pytest.mark.parametrize("option", OTHERWISE)
def test_what_shapes_do_not_show_is_read_from_the_config(option, tmp_path):
    value, reason = OTHERWISE[option]
    other, text = theirs(**{option: value})
    model = ours()
    shapes = {name: tensor.shape for name, tensor in other.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=reason):
        loaded(model, tmp_path / "theirs.pth", other.state_dict(), config=text)


def worded(word):
    """A model with a mechanism that is named by its word, and its config."""
    torch.manual_seed(1)
    cfg = {"type": "Mechanism", "word": word, "heads": HEADS, "kv_stride": 2}
    block = MODELS.build({**cfg, "in_channels": CHANNELS})
    return network(block), Config({"model": {"plugins": [{"cfg": cfg}]}})


@pytest.mark.parametrize(
    ("trained", "run"),
    [
        ("nonlocal:mode=dot_product", "nonlocal"),
        ("nonlocal", "nonlocal:mode=dot_product"),
        ("criss_cross:recurrences=1", "criss_cross"),
        ("gather_excite:extent=2", "gather_excite"),
    ],
)
def test_another_mechanism_of_the_same_parameters_is_refused(trained, run, tmp_path):
    other, theirs = worded(trained)
    model, own = worded(run)
    parts = parts_of(own.model)
    with pytest.raises(CheckpointError, match=f"was trained with {trained}, and the run has {run}"):
        loaded(model, tmp_path / "1.pth", other.state_dict(), parts=parts, cfg=theirs.pretty_text)
    loaded(model, tmp_path / "2.pth", model.state_dict(), parts=parts, cfg=own.pretty_text)
    loaded(model, tmp_path / "3.pth", other.state_dict(), parts=parts)
    foreign = Config({"model": {"plugins": [{"cfg": {"type": "NonLocal2d"}}]}}).pretty_text
    if trained != "gather_excite:extent=2":
        loaded(model, tmp_path / "4.pth", other.state_dict(), parts=parts, cfg=foreign)


def test_one_without_parameters_is_known_by_the_config_alone(tmp_path):
    model, own = worded("gather_excite")
    plain = Config({"model": {"type": "ResNet"}})
    state = model.state_dict()
    with pytest.raises(CheckpointError, match="with none, and the run has gather_excite"):
        loaded(model, tmp_path / "1.pth", state, parts=parts_of(own.model), cfg=plain.pretty_text)
    with pytest.raises(CheckpointError, match="with gather_excite, and the run has none"):
        loaded(
            network(nn.Identity()),
            tmp_path / "2.pth",
            state,
            parts=parts_of(plain.model),
            cfg=own.pretty_text,
        )


def test_mmcvs_defaults_are_known(tmp_path):
    """Nine heads: what a config that names none was trained with."""
    for text in (
        "model = dict(backbone=dict(plugins=[dict(cfg=dict(type='GeneralizedAttention'))]))",
        "/configs/a.py\nmodel = {'backbone': {'gen_attention': {'spatial_range': -1}}}",
    ):
        ((kind, arguments),) = blocks_in(text)
        built = GeneralizedAttention(36)
        assert kind == "GeneralizedAttention"
        assert arguments["heads"] == built.num_heads == 9
        assert arguments["kv_stride"] == built.kv_stride
        assert arguments["q_stride"] == built.q_stride
        assert [bit == "1" for bit in arguments["terms"]] == built.attention_type
        assert arguments["spatial_range"] is None


def test_a_config_is_not_executed(tmp_path):
    trap = tmp_path / "executed"
    text = (
        f"__import__('pathlib').Path({str(trap)!r}).touch()\n"
        "x = dict(type='GeneralizedAttention', num_heads=__import__('os').getpid())\n"
    )
    assert blocks_in(text)[0][1]["heads"] is None
    assert blocks_in("def (:") == []
    assert not trap.exists()


def test_mmcvs_window_is_refused(tmp_path):
    state = ours().state_dict()
    state["backbone.layer3.0.gen_attention_block.local_constraint_map"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match="local_constraint_map: this is mmcv's attention"):
        loaded(ours(), tmp_path / "window.pth", state)
    text = "model = dict(type='GeneralizedAttention', num_heads=4, spatial_range=3)"
    with pytest.raises(CheckpointError, match="with a spatial range"):
        loaded(ours(), tmp_path / "window.pth", ours().state_dict(), config=text)


def test_older_names_are_read_as_mmcv_reads_them(tmp_path):
    """Offsets of MMDetection 1, and what a parallel model saved."""
    packs = [DeformConv2dPack(4, 4, 3, padding=1, bias=False) for _ in range(2)]
    nn.init.normal_(packs[0].conv_offset.weight)
    state = {
        f"module.{name.replace('conv2.conv_offset', 'conv2_offset')}": value
        for name, value in network(nn.Identity(), offsets=packs[0]).state_dict().items()
    }
    assert "module.backbone.layer3.0.conv2_offset.weight" in state
    model = network(nn.Identity(), offsets=DeformableConv2d(4, 4))
    loaded(model, tmp_path / "old.pth", state)
    # mmcv's own hook, called by itself: torch no longer shows it what has not the module's prefix.
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    packs[1]._load_from_state_dict(plain, "backbone.layer3.0.conv2.", {}, False, [], [], [])
    packs[1].conv_offset.load_state_dict(
        {name: plain[f"backbone.layer3.0.conv2.conv_offset.{name}"] for name in ("weight", "bias")}
    )
    for name, value in packs[1].state_dict().items():
        assert torch.equal(model.backbone.layer3[0].conv2.state_dict()[name], value)


def test_parameters_that_do_not_fit_are_named(tmp_path):
    model, path = ours(), tmp_path / "other.pth"
    state = model.state_dict()
    gone = "backbone.layer3.0.gen_attention_block.gamma"
    more = {name: value for name, value in state.items() if name != gone} | {
        "head.bias": state[gone]
    }
    with pytest.raises(CheckpointError, match=f"it lacks {gone}; it has besides head.bias"):
        loaded(model, path, more)
    with pytest.raises(CheckpointError, match=r"gamma \(2,\) instead of \(1,\)"):
        loaded(model, path, state | {gone: torch.zeros(2)})
    conv3 = {name.replace("layer3", "layer2"): value for name, value in state.items()}
    with pytest.raises(CheckpointError, match="attention stands in conv3, conv4 there, in conv4 h"):
        loaded(model, path, state | conv3)
    with pytest.raises(
        CheckpointError, match="other classes apart: car, bus; the data set has tree"
    ):
        loaded(model, path, state, classes=("tree",))


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_what_is_no_checkpoint_is_refused_and_not_executed(tmp_path):
    path, trap = tmp_path / "file.pth", tmp_path / "executed"
    torch.save({"state_dict": {}, "meta": {"more": Trap(trap)}}, path)
    with pytest.raises(CheckpointError, match=r"holds more than weights: posix\.mkdir"):
        weights.read(path)
    assert not trap.exists()
    path.write_bytes(b"<html>log in first</html>")
    reason = (
        r"or a damaged one, to be fetched or saved again \(UnpicklingError: Unsupported operand"
    )
    with pytest.raises(CheckpointError, match=reason) as told:
        weights.read(path)
    assert "will likely succeed" not in str(told.value)  # what torch says of reading it by force
    torch.save({"state_dict": {"weight": torch.zeros(100)}}, path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="is no file of torch's, or a damaged one"):
        weights.read(path)


TENSOR = torch.zeros(1)
FOREIGN = {
    "it holds an object of type list; a checkpoint of MMEngine is a dict": [TENSOR],
    "it holds an object of type Tensor": TENSOR,
    "it has no 'state_dict', but epoch, model; a checkpoint of": {"epoch": 3, "model": {}},
    "its 'state_dict' is of type list; a checkpoint has tensors there": {"state_dict": [TENSOR]},
    "its 'state_dict' has under 'weight' a int": {"state_dict": {"weight": 3}},
    "its 'state_dict' has under 'net' a dict": {"state_dict": {"net": {"weight": TENSOR}}},
    "its 'state_dict' has under 7 a Tensor": {"state_dict": {7: TENSOR}},
    "it has under 7 a Tensor": {7: TENSOR},
    "its 'meta' is of type str, not dict": {"state_dict": {}, "meta": "text"},
    "its 'dataset_meta' is of type Tensor": {"state_dict": {}, "meta": {"dataset_meta": TENSOR}},
    "its 'classes' is of type int, not tuple or list or str": {
        "state_dict": {}, "meta": {"dataset_meta": {"classes": 80}},
    },
    "its 'CLASSES' is of type dict": {"state_dict": {}, "meta": {"CLASSES": {"car": 1}}},
    "its 'cfg' is of type Tensor, not str or dict": {"state_dict": {}, "meta": {"cfg": TENSOR}},
}  # fmt: skip


@pytest.mark.parametrize("reason", FOREIGN)
def test_what_is_wrong_in_a_foreign_file_is_named(reason, tmp_path):
    path = tmp_path / "file.pth"
    torch.save(FOREIGN[reason], path)
    assert read(path) is not None
    with pytest.raises(CheckpointError, match=f"^{path} is no checkpoint: {reason}"):
        weights.read(path)


def test_what_a_file_need_not_have_may_be_missing_or_none(tmp_path):
    path, state = tmp_path / "file.pth", ours().state_dict()
    none = {"CLASSES": None, "dataset_meta": None, "cfg": None, "config": None}
    contents = [state, *({"state_dict": state} | more for more in ({}, {"meta": None}))]
    for content in (*contents, {"state_dict": state, "meta": none}):
        torch.save(content, path)
        given = weights.read(path)
        assert (given.classes, given.config, given.state.keys()) == (None, None, state.keys())
    named = {"dataset_meta": {"classes": list(CLASSES)}}
    for meta in ({"CLASSES": CLASSES}, named, {"dataset_meta": {"CLASSES": CLASSES}}):
        torch.save({"state_dict": state, "meta": meta}, path)
        assert weights.read(path).classes == CLASSES


def test_a_config_that_is_no_text_is_compared_as_well(tmp_path):
    block = {"type": "GeneralizedAttention2d", "heads": 2}
    config = {"model": {"backbone": {"plugins": [{"cfg": block}]}}}
    with pytest.raises(CheckpointError, match="heads 2 instead of 4"):
        loaded(ours(), tmp_path / "file.pth", ours().state_dict(), cfg=config)


@pytest.mark.parametrize("value", ["'many'", "{[]: 1}", "None"])
def test_a_config_with_strange_values_is_of_another_attention(value, tmp_path):
    text = f"model = dict(type='GeneralizedAttention2d', heads={value})"
    with pytest.raises(CheckpointError, match=r"with other attention .*: heads .* instead of 4"):
        loaded(ours(), tmp_path / "file.pth", ours().state_dict(), cfg=text)
    mmcv = "model = dict(type='GeneralizedAttention', num_heads=4, spatial_range='far')"
    with pytest.raises(CheckpointError, match="with a spatial range"):
        loaded(ours(), tmp_path / "file.pth", ours().state_dict(), cfg=mmcv)


def test_files_of_one_name_at_two_places_are_two_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "epoch_12.pth").write_text(place)
    for place in ("one", "two", "one"):
        file = download((tmp_path / place / "epoch_12.pth").as_uri())
        assert (file.name, file.read_text()) == ("epoch_12.pth", place)
