"""What recipes of the full-scale grids say and those of the embedded data do not, trained small."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import few_steps
import pytest
import torch
from backbones import torchvisions, with_deep_stem
from mmseg.models import EncoderDecoder

from plugins.attention.core.word import Word
from plugins.contracts.job import Stopped
from plugins.contracts.tasks import find_task
from plugins.segmentation import train as segmentation
from plugins.segmentation.config import runner_config
from plugins.segmentation.recipe import Recipe
from study.grid.reading import load

pytestmark = pytest.mark.train

GRIDS = Path(__file__).parents[2] / "grids"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    few_steps.make_data(folder)
    return folder


def recorded(task, data, folder, word="1111", **recipe):
    """Return a job that keeps its records, and the records."""
    lines = []
    job = dataclasses.replace(
        few_steps.job(task, data, folder, **recipe),
        mechanism=Word.parse(word),
        record=lambda split, **values: lines.append({"split": split, **values}),
        recorded=lambda split: [line for line in lines if line["split"] == split],
    )
    return job, lines


@pytest.mark.parametrize("task", few_steps.RECIPES)
def test_a_network_of_basic_blocks_trains(task, data, tmp_path):
    job, lines = recorded(task, data, tmp_path, "0110+deformable", depth=18, epochs=1)
    find_task(task).train(job)
    assert [line["split"] for line in lines] == ["untrained", "train", "val"]


@pytest.mark.parametrize(
    ("task", "stopped_after"),
    [("segmentation", None), ("segmentation", 1), ("detection", None), ("classification", None)],
)
def test_evaluation_is_every_so_many_epochs_and_at_the_end(task, stopped_after, data, tmp_path):
    job, lines = recorded(task, data, tmp_path, epochs=3, evaluation_interval=2, depth=14)
    if stopped_after is not None:
        # One step an epoch: it is asked after the step, and after the epoch.
        asked = iter(range(1, 100))
        stopping = lambda: next(asked) >= 2 * stopped_after  # noqa: E731
        with pytest.raises(Stopped):
            segmentation.train(dataclasses.replace(job, stopping=stopping))
    find_task(task).train(job)
    assert [line["epoch"] for line in lines if line["split"] == "untrained"] == [0]
    assert [line["epoch"] for line in lines if line["split"] == "val"] == [2, 3]


def test_validation_images_are_seen_through_windows_of_a_crop(data, tmp_path, monkeypatch):
    seen = []
    whole = EncoderDecoder.encode_decode
    monkeypatch.setattr(
        EncoderDecoder,
        "encode_decode",
        lambda self, image, metas: seen.append(tuple(image.shape[2:])) or whole(self, image, metas),
    )
    options = {"crop": (33, 33), "evaluation_stride": (20, 20), "align_corners": True, "epochs": 1}
    job, _ = recorded("segmentation", data, tmp_path, **options)
    segmentation.train(job)
    # 64 pixels in windows of 33 that move by 20: three a side.
    assert set(seen) == {(33, 33)}
    assert len(seen) == 2 * few_steps.IMAGES["segmentation"] * 3 * 3


def test_rescaling_is_of_the_images_size(data, tmp_path):
    options = {"scale_range": (0.7, 2.0), "crop": (33, 33)}
    scales = []
    for extra in ({}, {"image_scale": (64, 48)}):
        job = few_steps.job("segmentation", data, tmp_path, **options, **extra)
        pipeline = runner_config(job)["train_dataloader"]["dataset"]["pipeline"]
        scales += [step["scale"] for step in pipeline if step["type"] == "RandomResize"]
    assert scales == [(33, 33), (64, 48)]


def test_later_fields_leave_no_trace_where_they_are_not_given():
    later = {"image_scale", "align_corners", "evaluation_stride", "evaluation_interval"}
    assert not later & set(Recipe().model_dump(mode="json"))
    given = Recipe(
        image_scale=(2048, 1024), align_corners=True, evaluation_stride=(513, 513),
        evaluation_interval=10,
    )  # fmt: skip
    dumped = given.model_dump(mode="json")
    assert later <= set(dumped)
    assert Recipe.model_validate(dumped) == given


SMALLER = {
    "detection": {"image_scale": (64, 64)},
    "segmentation": {"image_scale": (64, 64), "crop": (65, 65), "evaluation_stride": (43, 43)},
}


@pytest.mark.parametrize(
    "name",
    ["coco/self_attention", "coco/small/self_attention",
     "cityscapes/self_attention", "cityscapes/small/self_attention"],
)  # fmt: skip
def test_a_full_scale_recipe_trains_from_its_backbone_in_its_widths(name, data, tmp_path):
    """A grid's last mechanism; images, batch and length of the training alone are smaller."""
    run = load(GRIDS / f"{name}.yaml").runs()[-1]
    depth = run.science["recipe"]["depth"]
    assert f"resnet{depth}" in run.science["recipe"]["pretrained"]
    state = torchvisions(depth)
    torch.save(with_deep_stem(state) if run.task == "segmentation" else state, tmp_path / "file")
    smaller = {"batch_size": 2, "epochs": 1, "training_images": 2, "evaluation_images": 1}
    recipe = {**run.science["recipe"], **smaller, **SMALLER[run.task]}
    recipe["pretrained"] = str(tmp_path / "file")
    recipe.pop("data")
    job, lines = recorded(run.task, data, tmp_path / "run", run.mechanism, **recipe)
    find_task(run.task).train(dataclasses.replace(job, sites=run.sites))
    assert [line["split"] for line in lines] == ["untrained", "train", "val"]
    trained = torch.load(tmp_path / "run/checkpoints/epoch_1.pth", weights_only=False)
    weight = trained["state_dict"]["backbone.layer1.0.conv1.weight"]
    same = torch.equal(weight, state["layer1.0.conv1.weight"])
    assert same == (run.task == "detection")  # there the first stage is frozen
    assert torch.allclose(weight, state["layer1.0.conv1.weight"], atol=0.05)
