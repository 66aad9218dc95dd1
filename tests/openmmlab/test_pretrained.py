"""Pretrained backbones: which file a name means, that its weights arrive, and what is refused."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import json
import sys
import threading
from types import SimpleNamespace

import few_steps
import pytest
import torch
from backbones import torchvisions, with_deep_stem
from mmdet.registry import MODELS as DETECTION
from mmdet.utils import register_all_modules as register_detection
from mmengine.runner import checkpoint as mmengines
from mmseg.registry import MODELS as SEGMENTATION
from mmseg.utils import register_all_modules as register_segmentation

from plugins.attention.core.cost import mechanisms_of
from plugins.attention.core.word import Word
from plugins.contracts.job import CheckpointError
from plugins.detection import train as detection
from plugins.detection.config import detector
from plugins.openmmlab import pretrained
from plugins.openmmlab.backbone_weights import check_backbone
from plugins.openmmlab.pretrained import weights_file
from plugins.segmentation.config import segmentor


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A function that offers a state dict on the net, with its hash in the name; what was asked."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            asked.append(self.path)

    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()

        def offer(state):
            torch.save(state, folder / "file")
            digest = hashlib.sha256((folder / "file").read_bytes()).hexdigest()[:8]
            file = (folder / "file").rename(folder / f"resnet-{digest}.pth")
            return f"http://127.0.0.1:{served.server_port}/{file.name}"

        offer.asked = asked
        yield offer
        served.shutdown()
        thread.join()


@pytest.fixture
def named(server, monkeypatch):
    """A function that lets a name of torchvision's or OpenMMLab's stand for a state dict."""

    def named(name, state):
        url = server(state)
        table = pretrained._table
        known = {name.partition("://")[2]: url}
        monkeypatch.setattr(
            pretrained,
            "_table",
            lambda file: table(file) | (known if file in pretrained.TABLES.values() else {}),
        )
        return name

    named.asked = server.asked
    return named


def test_names_mean_what_mmengine_takes_them_for(monkeypatch):
    """Its own functions, with a torchvision that brings no models."""
    empty = SimpleNamespace(__version__="0.13.0", models=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchvision", empty)
    theirs = mmengines.get_torchvision_models()
    assert theirs["resnet50"].endswith("/resnet50-0676ba61.pth")
    for name, url in theirs.items():
        if url is not None:  # there are none of some models
            assert weights_file(f"torchvision://{name}").url == url
    for name, url in mmengines.get_external_models().items():
        for scheme in ("open-mmlab", "openmmlab"):
            assert weights_file(f"{scheme}://{name}").url == url
    for name, url in mmengines.get_mmcls_models().items():
        assert weights_file(f"mmcls://{name}").url == url
    old = weights_file("open-mmlab://resnet50_caffe").url
    assert old == mmengines.get_external_models()["detectron/resnet50_caffe"]


@pytest.mark.parametrize("variables", [{}, {"TORCH_HOME": "~/t"}, {"XDG_CACHE_HOME": "/x y"}])
def test_a_file_belongs_into_torchs_cache(variables, monkeypatch):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    path = weights_file("torchvision://resnet50").path
    assert str(path) == f"{torch.hub.get_dir()}/checkpoints/resnet50-0676ba61.pth"


def test_names_of_the_users_own_table_count(tmp_path, monkeypatch):
    monkeypatch.setenv("MMENGINE_HOME", str(tmp_path))
    table = {"mine": "mine.pth", "resnet50_v1c": "https://here/resnet50_v1c-2cccc1ad.pth"}
    (tmp_path / "open_mmlab.json").write_text(json.dumps(table))
    mine = weights_file("open-mmlab://mine")
    assert (mine.path, mine.url) == (tmp_path / "mine.pth", "")
    assert weights_file("open-mmlab://resnet50_v1c").url == table["resnet50_v1c"]


@pytest.mark.parametrize(
    ("name", "told"),
    [("torchvision://resnet-50", "did you mean 'resnet50'"), ("s3://x", "begins with none of"),
     ("open-mmlab://resnet34_v1c", "MMEngine knows no such weights"), ("http://here/", "no file")],
)  # fmt: skip
def test_a_name_that_means_nothing_is_refused(name, told):
    with pytest.raises(CheckpointError, match=told):
        weights_file(name)


def built(task, word, **recipe):
    job = few_steps.job(task, few_steps.Path(), few_steps.Path(), base_channels=64, **recipe)
    job = dataclasses.replace(job, mechanism=Word.parse(word))
    if task == "detection":
        register_detection(init_default_scope=True)
        config, registry = detector(job, 80), DETECTION
    else:
        register_segmentation(init_default_scope=True)
        config, registry = segmentor(job, 19), SEGMENTATION
    torch.manual_seed(3)
    return registry.build(config)


@pytest.mark.parametrize(
    ("task", "name", "depth", "word"),
    [("detection", "torchvision://resnet50", 50, "none"),
     ("detection", "torchvision://resnet50", 50, "0110+deformable"),
     ("detection", "torchvision://resnet18", 18, "0110+deformable"),
     ("segmentation", "open-mmlab://resnet50_v1c", 50, "1111+deformable"),
     ("segmentation", "open-mmlab://resnet18_v1c", 18, "dynamic")],
)  # fmt: skip
def test_all_weights_of_the_file_arrive_and_only_mechanisms_are_left(
    task, name, depth, word, named, tmp_path, monkeypatch
):
    """As the grids name them, through MMEngine's initialisation, without torchvision."""
    monkeypatch.setitem(sys.modules, "torchvision", None)  # an import fails
    monkeypatch.chdir(tmp_path)
    state = torchvisions(depth)
    state = with_deep_stem(state) if "v1c" in name else state
    content = {"state_dict": state, "meta": {}} if "v1c" in name else state
    model = built(task, word, depth=depth, pretrained=named(name, content))
    check_backbone(model.backbone, name)
    before = model.backbone.state_dict()
    assert not torch.equal(before["layer4.1.conv1.weight"], state["layer4.1.conv1.weight"])
    model.init_weights()
    arrived = model.backbone.state_dict()
    for key, value in state.items():
        assert key.startswith("fc.") or torch.equal(arrived[key], value), key
    inside = [f"{path.removeprefix('backbone.')}." for path in mechanisms_of(model)]
    rest = [key for key in arrived if key not in state and not key.endswith("_tracked")]
    assert all(key.startswith(tuple(inside)) for key in rest)
    assert bool(rest) == (word != "none")
    assert len(named.asked) == 1


@pytest.mark.parametrize(
    ("depth", "given", "told"),
    [(50, 18, r"it has layer1.0.conv1.weight \(64, 64, 3, 3\) instead of \(64, 64, 1, 1\)"),
     (50, 101, r"it has besides layer3.6.conv1.weight.* and \d+ more"),
     (101, 50, r"it lacks layer3.6.conv1.weight.* and \d+ more")],
)  # fmt: skip
def test_another_backbone_is_refused(depth, given, told, named):
    """MMEngine would train the layers that the file lacks from random numbers."""
    name = named("torchvision://some", torchvisions(given))
    model = built("detection", "1111+deformable", depth=depth, pretrained=name)
    with pytest.raises(CheckpointError, match=f"of another backbone than the recipe's: .*{told}"):
        check_backbone(model.backbone, name)


def test_a_deep_stem_is_refused_where_there_is_none(named):
    name = named("torchvision://some", with_deep_stem(torchvisions(18)))
    model = built("detection", "none", depth=18, pretrained=name)
    with pytest.raises(CheckpointError, match=r"it lacks conv1.weight, bn1.weight, bn1.bias and"):
        check_backbone(model.backbone, name)


def test_a_short_or_another_file_is_refused(named, tmp_path):
    name = named("torchvision://some", torchvisions(14, 8))
    file = weights_file(name).path
    model = built("detection", "none", depth=14, pretrained=name)
    file.parent.mkdir(parents=True)
    for content in (b"", b"x" * 1000):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"not the file that its name says: its SHA-256"):
            model.init_weights()
    assert named.asked == []
    own = tmp_path / "own.pth"
    torch.save(torchvisions(14, 8), own)
    own.write_bytes(own.read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match=r"own.pth is no file of torch's, or a damaged one"):
        check_backbone(model.backbone, str(own))
    with pytest.raises(CheckpointError, match=r"nowhere.pth cannot be read: No such file"):
        check_backbone(model.backbone, str(tmp_path / "nowhere.pth"))


def test_a_file_that_would_execute_something_is_refused(server, tmp_path):
    class Payload:
        def __reduce__(self):
            return (few_steps.Path.touch, (tmp_path / "executed",))

    url = server(torchvisions(14, 8) | {"more": Payload()})
    model = built("detection", "none", depth=14, pretrained=url)
    with pytest.raises(CheckpointError, match="holds more than weights"):
        check_backbone(model.backbone, url)
    assert not (tmp_path / "executed").exists()


@pytest.mark.train
def test_a_training_starts_from_the_file(server, tmp_path):
    """All stages are frozen, so that the checkpoint still has them as they were in the file."""
    few_steps.make_data(tmp_path)
    state = torchvisions(14, 8)
    job = few_steps.job(
        "detection", tmp_path, tmp_path / "run", epochs=1, pretrained=server(state), frozen_stages=4
    )
    detection.train(job)
    (last,) = (tmp_path / "run/checkpoints").glob("epoch_*.pth")
    trained = torch.load(last, weights_only=False)["state_dict"]
    for key, value in state.items():
        assert key.startswith("fc.") or torch.equal(trained[f"backbone.{key}"], value), key
    other = few_steps.job(
        "detection", tmp_path, tmp_path / "other", depth=26, pretrained=job.recipe.pretrained
    )
    with pytest.raises(CheckpointError, match="of another backbone than the recipe's"):
        detection.train(other)
