"""Shuffled gates: of a model that needs its gates, of all modules with gates, of runs."""

from __future__ import annotations

import csv
import dataclasses
from types import SimpleNamespace

import pytest
import runs
import squares
import torch
from torch import nn

from plugins.attention.core.site import Convolution, MapSite, Place
from plugins.attention.core.standing import build
from plugins.attention.core.word import Word
from plugins.classification.proofs import shuffled_gates
from plugins.classification.proofs.shuffled_gates import shuffle
from plugins.classification.proofs.trained import prove_runs, read_run

CLASSES = 4


def gate(word, channels=8):
    torch.manual_seed(0)
    (part,) = Word.parse(word).parts
    convolution = Convolution(
        in_channels=channels, out_channels=channels, kernel_size=3, stride=1, padding=1,
        dilation=1, bias=False,
    )  # fmt: skip
    site = MapSite(places=tuple(Place), channels=channels, size=(6, 6), convolution=convolution)
    module = build(part, site)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.eval()


class Named(nn.Module):
    """Names the class by the gates alone: the channels that it reads are the same in all images.

    Channel c of the first four is 1 in an image of class c, and opens the gate of channel 4 + c.
    """

    def __init__(self):
        super().__init__()
        self.block = gate("squeeze_excite:reduction=1")
        first, _, last = self.block.mlp
        with torch.no_grad():
            for layer in (first, last):
                layer.weight.zero_()
                layer.bias.zero_()
            for c in range(CLASSES):
                first.weight[c, c] = 1.0
                last.weight[CLASSES + c, c] = 4.0

    def forward(self, x):
        return self.block(x).mean(dim=(2, 3))[:, CLASSES:]


class Images:
    """A run of that model, with images in the order of their classes."""

    def __init__(self, model, number=400):
        self.model, self.images = model, range(number)
        self.labels = torch.arange(number) * CLASSES // number

    def row(self):
        return {}

    def batches(self, order):
        for some in torch.tensor(order).split(50):
            labels = self.labels[some]
            x = torch.cat([nn.functional.one_hot(labels, CLASSES), torch.ones(50, CLASSES)], dim=1)
            yield (
                x[..., None, None].expand(-1, -1, 6, 6),
                [SimpleNamespace(label=label) for label in labels],
            )


def test_where_the_class_is_in_the_gates_their_shuffling_leaves_chance():
    (row,) = shuffled_gates._rows(Images(Named()))
    assert row["accuracy"] == 1
    assert row["accuracy_shuffled"] == pytest.approx(1 / CLASSES, abs=0.08)
    assert row["difference"] == row["accuracy"] - row["accuracy_shuffled"]


def test_where_the_gates_are_the_same_for_all_images_nothing_changes():
    model = Named()
    plain = nn.Linear(CLASSES, CLASSES)
    with torch.no_grad():
        model.block.mlp[-1].weight.zero_()
        plain.weight.copy_(torch.eye(CLASSES))
        plain.bias.zero_()
    model.forward = lambda x: plain(model.block(x).mean(dim=(2, 3))[:, :CLASSES])
    (row,) = shuffled_gates._rows(Images(model))
    assert row["accuracy"] == row["accuracy_shuffled"] == 1


def channel(gate):
    return gate[..., None, None]


FORMULAS = {
    "squeeze_excite:reduction=2": lambda net, x, y: x * channel(net.gate(y)),
    "cbam": lambda net, x, y: x * channel(net.gate(y)) * net.mask(net.by_channel(y))[:, None],
    "gather_excite": lambda net, x, y: x * net.gate(y),
    "gather_excite:parameters=plus:extent=2": lambda net, x, y: (
        x * net.gate(y).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    ),
    "residual_attention": lambda net, x, y: x * (1 + net.mask(y)),
    "selective_kernel": lambda net, x, y: sum(
        channel(gate) * branch
        for gate, branch in zip(
            net.gates(net.convolved(y)).unbind(dim=1), net.convolved(x), strict=True
        )
    ),
}


@pytest.mark.parametrize("word", FORMULAS)
def test_every_image_gets_all_gates_of_the_one_before_it(word):
    module, x = gate(word), torch.randn(3, 8, 6, 6) + torch.randn(3, 8, 1, 1)
    with torch.no_grad():
        expected = FORMULAS[word](module, x, x.roll(1, dims=0))
        own = module(x)
        assert not torch.allclose(own, expected, atol=1e-3)
        shuffle(module)
        torch.testing.assert_close(module(x), expected)
        # Again, with other images.
        alike = x[:1].expand(2, -1, -1, -1)
        torch.testing.assert_close(module(alike), own[:1].expand(2, -1, -1, -1))


def test_runs_become_a_row_each_with_the_accuracy_that_they_are_evaluated_to(tmp_path, monkeypatch):
    from plugins.classification.task import Classification

    data = squares.make(tmp_path / "squares")
    job = runs.make(data, tmp_path / "gated", "cbam", seed=5)
    runs.make(data, tmp_path / "none", "1111")
    table = tmp_path / "gates.csv"
    runs.command(monkeypatch, data, table, tmp_path / "gated", tmp_path / "none")
    prove_runs(shuffled_gates._rows, shuffled_gates.__doc__)
    (row,) = csv.DictReader(table.open(encoding="utf-8"))
    assert (row["run"], row["mechanism"], row["sites"]) == ("gated", "cbam", "conv4.conv5")
    assert (row["seed"], row["images"], row["modules"]) == ("5", "40", "2")
    checkpoint = tmp_path / "gated/checkpoints/epoch_1.pth"
    alone = dataclasses.replace(job, folder=tmp_path / "scratch")
    evaluated = Classification().evaluate(alone, checkpoint)["accuracy"]
    assert float(row["accuracy"]) == pytest.approx(evaluated, abs=1e-4)


def test_no_batch_is_a_single_image(tmp_path, monkeypatch):
    """Its gates would be those of the one before it, itself."""
    data = squares.make(tmp_path / "squares")
    runs.make(data, tmp_path / "run", "cbam")
    monkeypatch.setattr("plugins.classification.proofs.trained.AT_ONCE", 13)
    sizes = [len(samples) for _, samples in read_run(tmp_path / "run", data).batches()]
    assert sizes == [10, 10, 10, 10]
