"""The proofs: what they measure, on cases that are plain, and that each fills its table."""

import csv
import sys

import pytest
import torch
from PIL import Image

from plugins.classification.data.layout import write_boxes, write_classes
from plugins.classification.networks.dynamic_capacity import DynamicCapacityNetwork
from plugins.classification.proofs import dynamic_capacity, recurrent_attention, residual_attention
from plugins.classification.proofs.training import Split, prove

BOXES = torch.tensor([[4.0, 8, 12, 20], [20, 0, 40, 16]])


def split(size):
    return Split(torch.zeros(2, 3, *size), torch.tensor([0, 1]), BOXES)


def test_a_mask_marks_the_box_if_it_is_larger_there():
    masks = torch.full((2, 12, 24), 0.25)
    masks[0, 4:10, 2:6] = 0.75  # at half the size, the box of the first image
    inside, outside, marks = residual_attention._inside_and_outside(masks, split((24, 48)))
    assert inside == pytest.approx((0.75 + 0.25) / 2, abs=0.05)
    assert outside == pytest.approx(0.25, abs=0.02)
    assert marks == 0.5


def test_a_patch_is_on_the_target_if_its_middle_is_in_the_box():
    network = DynamicCapacityNetwork(2, patches=2, patch=10)
    # Cells of 4 pixels, whose patches begin at the first of the 11 pixels that they see: the
    # middles of these are (5, 9), (5, 21), and (21, 5), (13, 5), as x and y.
    columns = (48 - 11) // 4 + 1
    cells = torch.tensor([[1 * columns + 0, 4 * columns + 0], [0 * columns + 4, 0 * columns + 2]])
    assert dynamic_capacity._on_target(network, split((40, 48)), cells) == 0.5


def test_a_crop_holds_the_middle_or_the_whole_of_a_box():
    crops = torch.tensor([[6.0, 10, 30, 34], [18, 0, 42, 24]])
    assert recurrent_attention._middle_held(crops, BOXES) == 1
    assert recurrent_attention._whole_held(crops, BOXES) == 0.5


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Squares of two colours, a few more than a batch."""
    folder, boxes = tmp_path_factory.mktemp("squares"), {}
    for name, images in (("train", 66), ("val", 12)):
        for number in range(images):
            kind = ("red", "blue")[number % 2]
            path, left = f"{name}/{kind}/{number}.png", number % 40
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            image = Image.new("RGB", (56, 56), "grey")
            image.paste(kind, (left, 20, left + 16, 36))
            image.save(folder / path)
            boxes[path] = (left, 20, 16, 16)
    write_classes(folder, {"red": "red", "blue": "blue"})
    write_boxes(folder, boxes)
    return folder


@pytest.mark.train
@pytest.mark.parametrize(
    ("proof", "rows"),
    [(residual_attention, 3), (dynamic_capacity, 8), (recurrent_attention, 1)],
)
def test_a_proof_writes_its_table(prepared, tmp_path, monkeypatch, proof, rows):
    table = tmp_path / "tables" / "proof.csv"
    monkeypatch.setattr(sys, "argv", ["prove", str(prepared), str(table), "--epochs", "4"])
    prove(proof._rows, proof.__doc__)
    found = list(csv.DictReader(table.open(encoding="utf-8")))
    assert len(found) == rows
    for row in found:
        shares = [key for key in row if key not in ("network", "learning", "patches", "macs")]
        assert all(0 <= float(row[key]) <= 1 for key in shares if row[key])
        assert row["seed"] == "0"
