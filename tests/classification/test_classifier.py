"""The classifier of a run: what stands where, what it costs, what it learns and shows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import squares
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from plugins.attention.core.cost import mechanisms_of
from plugins.attention.core.word import Word
from plugins.classification import config
from plugins.classification.recipe import Recipe
from plugins.classification.task import Classification
from plugins.contracts.job import CheckpointError
from plugins.openmmlab.resnet import SmallStemResNet

TASK = Classification()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return squares.make(tmp_path_factory.mktemp("squares"))


def built(job, classes=4):
    init_default_scope("mmengine")
    torch.manual_seed(0)
    model = MODELS.build(config.classifier(job, classes))
    model.init_weights()
    return model


@pytest.mark.parametrize(
    ("depth", "word"),
    [(14, "1111"), (14, "none+deformable"), (14, "nonlocal"), (18, "dynamic"), (18, "cbam")],
)
def test_a_mechanism_costs_what_it_adds_to_the_whole(depth, word, tmp_path):
    def cost(word):
        return TASK.cost(squares.job(tmp_path, tmp_path, word, depth=depth), 4)

    plain, counted = cost("none"), cost(word)
    assert plain.mechanism == {"macs": 0, "executed_macs": 0, "parameters": 0}
    for unit in ("macs", "parameters"):
        assert counted.model[unit] - plain.model[unit] == counted.mechanism[unit] > 0


def test_the_cost_of_resnet_50_on_imagenet_is_the_published_one(tmp_path):
    """4.09 GMACs and 25.557 million parameters: torchvision's table, `ResNet50_Weights`."""
    recipe = {"depth": 50, "base_channels": 64, "stem": "imagenet", "crop": (224, 224)}
    cost = TASK.cost(squares.job(tmp_path, tmp_path, **recipe), 1000)
    assert cost.model["parameters"] == 25_557_032
    assert round(cost.model["macs"] / 1e9, 2) == 4.09
    assert cost.input_shape == [3, 224, 224]


@pytest.mark.parametrize(("stem", "strides"), [("imagenet", 4), ("medium", 2), ("small", 1)])
def test_maps_have_the_strides_that_the_sites_tell(stem, strides, tmp_path):
    names, seen = TASK.sites[:4], {}
    job = squares.job(tmp_path, tmp_path, "1111", names, stem=stem, crop=(64, 96))
    model = built(job)
    for name, module in mechanisms_of(model).items():
        module.register_forward_hook(
            lambda module, given, out, name=name: seen.update({name: tuple(out.shape)})
        )
    model.eval()(torch.zeros(1, 3, 64, 96))
    stages = [TASK.site(name, job.recipe) for name in names]
    assert [site.stride for site in stages] == [strides * 2**stage for stage in range(4)]
    assert list(seen.values()) == [(1, site.channels, *site.size) for site in stages]


def test_the_small_stem_has_no_pooling_and_the_other_is_mmdetections(tmp_path):
    small = built(squares.job(tmp_path, tmp_path, stem="small")).backbone
    assert isinstance(small, SmallStemResNet)
    assert (small.conv1.kernel_size, small.conv1.stride) == ((3, 3), (1, 1))
    other = built(squares.job(tmp_path, tmp_path, stem="imagenet")).backbone
    assert (other.conv1.kernel_size, other.conv1.stride) == ((7, 7), (2, 2))
    assert isinstance(other.maxpool, nn.MaxPool2d)
    # Statistics are learned, which detection's ResNet does not by default.
    assert not small.norm_eval
    assert not other.norm_eval


def test_logits_and_loss_are_those_of_plain_torch(tmp_path):
    job = squares.job(tmp_path, tmp_path, label_smoothing=0.1)
    model = built(job).eval()
    images = torch.randn(3, 3, 32, 40)
    (features,) = model.backbone(images)
    expected = features.flatten(2).mean(2) @ model.linear.weight.T + model.linear.bias
    torch.testing.assert_close(model(images), expected)
    samples = [torch.tensor(label) for label in (0, 3, 1)]
    given = [type("Sample", (), {"label": label}) for label in samples]
    log = torch.log_softmax(expected, 1)
    targets = 0.9 * nn.functional.one_hot(torch.stack(samples), 4) + 0.1 / 4
    loss = model(images, given, mode="loss")
    torch.testing.assert_close(loss["loss_class"], -(targets * log).sum(1).mean())


@pytest.mark.train
def test_colours_are_learned_by_all_means_that_the_recipe_has(data, tmp_path):
    job = squares.job(
        data, tmp_path, "0010", epochs=9, batch_size=5, learning_rate=0.01, flip=0.5,
        area_range=(0.8, 1.0), label_smoothing=0.1, dropout=0.1, warmup_epochs=1,
    )  # fmt: skip
    TASK.train(job)
    (before,) = job.recorded("untrained")
    *_, last = job.recorded("val")
    assert last["accuracy"] > 0.9 > before["accuracy"] + 0.3
    assert last["cross_entropy"] < before["cross_entropy"]
    assert {"accuracy", "mean_class_accuracy", "cross_entropy"} < last.keys()
    assert "accuracy_5" not in last  # of four classes
    assert TASK.evaluate(job, tmp_path / "checkpoints/epoch_9.pth")["accuracy"] == last["accuracy"]
    last_line = job.recorded("train")[-1]  # one in ten steps has one
    assert TASK.progress(job.recipe, last_line) == pytest.approx(70 / 72, abs=1e-4)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        # Goyal et al. 2017: linear warm-up, a tenth after some epochs.
        ({"warmup_epochs": 2, "decay_epochs": (3, 5)}, [0.01, 0.505, 1, 0.1, 0.1, 0.01]),
        # Half a cosine over what is left after the warm-up.
        ({"warmup_epochs": 2}, [0.01, 0.505, 1, 0.8536, 0.5, 0.1464]),
        ({}, [1, 0.933, 0.75, 0.5, 0.25, 0.067]),
    ],
)
def test_the_learning_rate_is_that_of_the_papers(recipe, expected, data, tmp_path, monkeypatch):
    """At the beginning of each of six epochs, as a share of the recipe's."""
    from plugins.openmmlab import resuming

    rates = []

    def step(self, index, batch):
        if index == 0:
            rates.append(self.runner.optim_wrapper.get_lr()["lr"][0])
        self.runner.optim_wrapper.optimizer.step()
        self.runner.call_hook("after_train_iter", batch_idx=index, data_batch=batch, outputs={})
        self._iter += 1

    monkeypatch.setattr(resuming.StoppableLoop, "run_iter", step)
    monkeypatch.setattr("plugins.openmmlab.records.Record.after_train_iter", lambda *_, **__: None)
    monkeypatch.setattr("mmengine.hooks.LoggerHook.after_train_iter", lambda *_, **__: None)
    monkeypatch.setattr("plugins.openmmlab.records.Record.before_train", lambda *_: None)
    monkeypatch.setattr("mmengine.runner.ValLoop.run", lambda self: None)
    many = {"batch_size": 2, "training_images": 40, "crop": (64, 64), "learning_rate": 0.5}
    TASK.train(squares.job(data, tmp_path, epochs=6, **many, **recipe))
    # A rate by steps is not that of epochs by up to a step's change.
    assert np.array(rates) / 0.5 == pytest.approx(expected, abs=0.03)


def test_a_pretrained_backbone_arrives_whole_and_another_is_refused(data, tmp_path):
    source = built(squares.job(data, tmp_path, stem="imagenet"), 9).backbone.state_dict()
    torch.save(source, tmp_path / "file.pth")
    recipe = {"stem": "imagenet", "pretrained": str(tmp_path / "file.pth"), "epochs": 1}
    job = squares.job(data, tmp_path / "run", "1111", learning_rate=1e-9, **recipe)
    TASK.train(job)
    content = torch.load(tmp_path / "run/checkpoints/epoch_1.pth", weights_only=False)
    trained = content["state_dict"]["backbone.layer4.0.conv1.weight"]
    torch.testing.assert_close(trained, source["layer4.0.conv1.weight"])
    other = squares.job(data, tmp_path / "other", **{**recipe, "stem": "small"})
    with pytest.raises(CheckpointError, match="is of another backbone than the recipe's"):
        TASK.train(other)


@pytest.fixture
def trained(data, tmp_path):
    """A run whose checkpoint holds random weights."""
    job = squares.job(data, tmp_path, "1011", crop=(32, 32), evaluation_resize=40)
    (tmp_path / "checkpoints").mkdir()
    weights = {"state_dict": built(job).state_dict(), "meta": {}}
    torch.save(weights, tmp_path / "checkpoints" / "epoch_1.pth")
    return job


def test_every_block_shows_weights_of_a_pixel_of_the_middle(trained, tmp_path):
    image = np.zeros((80, 120, 3), np.uint8)
    image[50, 70] = (255, 0, 0)  # blue for OpenCV
    image = cv2.resize(image, (240, 160), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    arrays = TASK.look(trained, str(tmp_path / "image.png"), (141, 101))
    assert arrays["image"].shape == (32, 32, 3)
    # 240 x 160 becomes 60 x 40, of which the middle 32 x 32 is seen.
    assert arrays["query"].tolist() == [141 * 60 // 240 - 14, 101 * 40 // 160 - 4]
    column, row = arrays["query"]
    blueness = arrays["image"][..., 2].astype(int) - arrays["image"][..., 0]
    assert np.unravel_index(blueness.argmax(), blueness.shape) == (row, column)
    weights = [arrays[name] for name in arrays if name.endswith("/weights")]
    assert len(weights) == 2
    for each in weights:
        assert each.sum((1, 2)) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match=r"pixel 3,90 is outside the part .* 32 x 32 of 60 x 40"):
        TASK.look(trained, str(tmp_path / "image.png"), (3, 90))


class Alone(nn.Module):
    """A network that classifies by itself, and alternates by the step."""

    training_step = 0
    training_steps = None
    seen: list = []  # noqa: RUF012

    def __init__(self, classes):
        super().__init__()
        self.layer = nn.Linear(3, classes)

    def forward(self, images):
        return self.layer(images.mean((2, 3)))

    def loss(self, images, labels):
        self.seen.append((self.training_step, self.training_steps))
        loss = nn.functional.cross_entropy(self(images), labels)
        return {"loss_class": loss, "loss_other": 0 * loss}


@pytest.mark.train
def test_a_network_of_its_own_trains_and_knows_the_step(data, tmp_path, monkeypatch):
    monkeypatch.setitem(config.NETWORKS, "resnet", lambda job, classes: {
        "type": "Classifier", "backbone": {"type": "Alone", "classes": classes},
    })  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setitem(MODELS.module_dict, "Alone", Alone)
        Alone.seen.clear()
        job = squares.job(data, tmp_path, learning_rate=0.1, epochs=3, base_channels=8)
        TASK.train(job)
    assert Alone.seen == [(step, 12) for step in range(12)]
    assert job.recorded("val")[-1]["accuracy"] > job.recorded("untrained")[0]["accuracy"]
    assert "loss_other" in job.recorded("train")[-1]


WRONG = [
    ({"heads": 16}, r"heads \(16\) must not exceed base_channels \(8\)"),
    ({"base_channels": 10}, "must be divisible by 4"),
    ({"area_range": (0.5, 0.2)}, r"area_range \[0.5, 0.2\] must rise"),
    ({"area_range": (0.5, 1.5)}, "to 1 at most"),
    ({"evaluation_resize": 30}, "leaves less than crop .* 32 or more would do"),
    ({"warmup_epochs": 2}, r"warmup_epochs \(2\) must be fewer than epochs \(2\)"),
    ({"training_images": 3}, "3 training images make no batch of batch_size 10"),
    ({"stem": "imagenet", "batch_size": 4, "accumulate": 4}, "one position is left in conv5"),
    ({"network": "vgg"}, "Input should be 'resnet'"),
]


@pytest.mark.parametrize(("recipe", "message"), WRONG)
def test_what_cannot_be_trained_is_refused_when_it_is_planned(recipe, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        squares.job(tmp_path, tmp_path, **recipe)


def test_a_site_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no site 'head'"):
        TASK.check(Word.parse("1111"), ("head",), Recipe())


def test_imagenets_recipe_can_be_written_and_its_smoke_form_is_small():
    imagenet = Recipe(
        data="imagenet", depth=50, stem="imagenet", base_channels=64, crop=(224, 224),
        area_range=(0.08, 1), flip=0.5, evaluation_resize=256, epochs=90, batch_size=8192,
        base_batch_size=256, optimizer="sgd", learning_rate=0.1, warmup_epochs=5,
        decay_epochs=(30, 60, 80),
    )  # fmt: skip
    assert imagenet.rate == pytest.approx(3.2)  # as in Goyal et al.
    assert TASK.training_steps(imagenet, 1_281_167, None) == 90 * (1_281_167 // 8192)
    small = TASK.smoke(imagenet)
    assert small.data == Recipe.model_fields["data"].default
    assert TASK.training_steps(small, 3000, None) == 2
    assert Recipe.model_validate(small.model_dump()) == small
