"""The pointing game on attention made by hand, and on runs of all mechanisms with positions."""

from __future__ import annotations

import csv
import json

import pytest
import runs
import squares
import torch

from plugins.attention.core.site import MapSite
from plugins.attention.core.standing import build
from plugins.attention.core.word import Word
from plugins.classification.data.layout import find_images, write_boxes
from plugins.classification.proofs import pointing
from plugins.classification.proofs.pointing import attention, in_crop, in_map
from plugins.classification.proofs.trained import prove_runs, read_run

BOX = torch.tensor([[0.25, 0.0, 0.75, 0.5]])  # of 4 x 4 positions four, in the upper half


def shares(found):
    return dict(zip(("hit", "reachable", "by_chance", "mass"), found[0].tolist(), strict=True))


def test_the_most_attended_position_hits_or_misses():
    maps = torch.ones(1, 4, 4)
    maps[0, 1, 2] = 5.0  # the box has the columns 1 and 2 of the rows 0 and 1
    found = shares(in_map(maps, BOX))
    assert found == pytest.approx(
        {"hit": 1, "reachable": 1, "by_chance": 4 / 16, "mass": (3 + 5) / 20}
    )
    assert shares(in_map(maps.mT, BOX))["hit"] == 0
    assert shares(in_map(maps.mT, BOX))["mass"] == pytest.approx(4 / 20)


def test_without_a_preference_a_map_hits_as_chance_does():
    found = shares(in_map(torch.full((1, 4, 4), 0.3), BOX))
    assert found["hit"] == found["by_chance"] == 0.25
    assert found["mass"] == pytest.approx(0.25)  # the area of the box


def test_a_box_between_the_middles_of_positions_cannot_be_hit_but_has_its_part_of_the_mass():
    maps = torch.ones(1, 2, 2)
    found = shares(in_map(maps, torch.tensor([[0.3, 0.3, 0.7, 0.7]])))
    assert (found["hit"], found["reachable"], found["by_chance"]) == (0, 0, 0)
    assert found["mass"] == pytest.approx(0.16)


def test_maps_that_are_no_squares_keep_rows_and_columns_apart():
    maps = torch.zeros(1, 2, 8)
    maps[0, 0, 5] = 1.0  # x from 5/8 to 6/8, the upper half
    assert shares(in_map(maps, BOX))["hit"] == 1
    assert shares(in_map(maps.flip(1), BOX))["hit"] == 0
    assert shares(in_map(maps, BOX))["mass"] == 1


def test_a_crop_hits_by_its_middle_and_has_the_share_of_its_points_in_the_box():
    crop = torch.tensor([[[0.5, 0.25], [1.0, 0.25], [1.0, 0.75], [0.5, 0.75]]])
    found = shares(in_crop(crop, BOX))
    assert found == {"hit": 0, "reachable": 1, "by_chance": 0.25, "mass": 0.25}
    turned = crop.roll(1, dims=1) - 0.1  # its middle is at (0.65, 0.4)
    assert shares(in_crop(turned, BOX))["hit"] == 1


TERMS = [f"{number:04b}" for number in range(16)]
WORDS = (
    *TERMS, "0110@2", "nonlocal", "nonlocal:mode=dot_product", "nonlocal:subsample=true",
    "criss_cross", "sagan", "global_context:reduction=4", "object_context",
    "object_context:form=pyramid", "object_context:form=asp", "cbam", "gather_excite:extent=2",
    "residual_attention",
)  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_every_mechanism_with_positions_has_one_map_an_image(word):
    torch.manual_seed(0)
    (part,) = Word.parse(word).parts
    module = build(part, MapSite(channels=16, heads=4, kv_stride=1, size=(6, 9)))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(3, 16, 6, 9)
    (value,) = attention(module.eval(), x).values()
    assert value.shape[0] == 3
    assert value.dim() == 3
    assert (value >= 0).all()
    for image, alone in zip(value, x, strict=True):
        (expected,) = attention(module, alone[None]).values()
        torch.testing.assert_close(image, expected[0], rtol=1e-4, atol=1e-6)


def test_a_map_of_weights_is_what_each_key_gets_from_all_queries():
    torch.manual_seed(0)
    (part,) = Word.parse("1010").parts
    module = build(part, MapSite(channels=8, heads=2, kv_stride=1, size=(2, 3)))
    x = torch.randn(1, 8, 2, 3)
    (value,) = attention(module, x).values()
    rows = [module.weights_at(x, [(r, c)])["weights"] for r in range(2) for c in range(3)]
    torch.testing.assert_close(value[0], torch.stack(rows).mean(dim=0)[0, :, 0].mean(dim=0))
    assert value.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("word", ["squeeze_excite", "gather_excite", "dynamic"])
def test_a_mechanism_without_positions_has_none(word):
    (part,) = Word.parse(word).parts
    module = build(part, MapSite(channels=8, heads=2, kv_stride=1, size=(4, 4)))
    assert attention(module, torch.randn(2, 8, 4, 4)) == {}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The squares, with boxes for all but one image of val."""
    folder = squares.make(tmp_path_factory.mktemp("squares"))
    boxes = {path: (8, 4, 12, 12) for path, _ in find_images(folder, "val")[1:]}
    write_boxes(folder, boxes)
    return folder


def test_runs_become_a_row_for_each_module_and_thing(data, tmp_path, monkeypatch):
    runs.make(data, tmp_path / "one", "1010+deformable")
    runs.make(data, tmp_path / "two", "cbam+spatial_transformer", ("conv4", "image"), seed=3)
    runs.make(data, tmp_path / "three", "squeeze_excite")
    folders = [tmp_path / name for name in ("one", "two", "three")]
    runs.command(monkeypatch, data, tmp_path / "tables/pointing.csv", *folders)
    prove_runs(pointing._rows, pointing.__doc__)
    found = list(csv.DictReader((tmp_path / "tables/pointing.csv").open(encoding="utf-8")))
    # Behind the transformer positions are elsewhere: the masks of cbam are left out.
    assert [(row["run"], row["what"], row["seed"]) for row in found] == [
        ("one", "weights", "0"), ("one", "weights", "0"), ("two", "crop", "3"),
    ]  # fmt: skip
    assert len({row["module"] for row in found}) == 3
    for row in found:
        assert row["images"] == "39"
        assert float(row["area"]) == pytest.approx(12 * 12 / (32 * 32), abs=1e-3)
        assert all(0 <= float(row[name]) <= 1 for name in ("pointing", "by_chance", "mass"))


def test_a_box_moves_with_its_image_into_the_networks_input(data, tmp_path):
    """Images of 40 x 32 are scaled to 80 x 64, and lose 8 columns on each side, 0 rows."""
    runs.make(data, tmp_path / "run", "cbam", crop=(64, 64), evaluation_resize=64)
    run = read_run(tmp_path / "run", data)
    ((_, samples),) = run.batches()
    path = samples[1].metainfo["img_path"].removeprefix(f"{data}/")
    box = pointing._box(samples[1], run, {path: (8, 4, 12, 12)})
    assert (64 * box).tolist() == [8, 8, 32, 32]
    # What is cut off is not there.
    assert pointing._box(samples[1], run, {path: (0, 0, 4, 32)}).tolist() == [0, 0, 0, 1]
    assert not pointing._box(samples[1], run, {}).any()


def test_what_cannot_be_played_is_told(data, tmp_path, monkeypatch, capsys):
    def told(folder, *folders):
        runs.command(monkeypatch, folder, tmp_path / "table.csv", *folders)
        with pytest.raises(SystemExit, match="2"):
            prove_runs(pointing._rows, pointing.__doc__)
        assert not (tmp_path / "table.csv").exists()
        return capsys.readouterr().err

    runs.make(data, tmp_path / "run", "squeeze_excite")
    assert "have nothing that is asked for" in told(data, tmp_path / "run")
    assert "is not the folder of a run" in told(data, tmp_path)
    assert "is not a prepared set" in told(tmp_path, tmp_path / "run")
    plain = squares.make(tmp_path / "plain")
    assert "has no boxes.json" in told(plain, tmp_path / "run")
    record = tmp_path / "run/run.json"
    whole = record.read_text()
    record.write_text(json.dumps({"science": {"task": "detection"}}))
    assert "is a run of detection; runs of classification would do" in told(data, tmp_path / "run")
    record.write_text(whole)
    (tmp_path / "run/checkpoints/epoch_1.pth").unlink()
    assert "has no checkpoint: train the run first" in told(data, tmp_path / "run")
