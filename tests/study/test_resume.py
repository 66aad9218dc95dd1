"""A run killed or told to stop in mid-training ends like an undisturbed one."""

import functools
import os
import signal

import attempts
import pytest
from attempts import Payload

from study.grid.reading import load
from study.runs.run import open_folder

pytestmark = [pytest.mark.data, pytest.mark.train]

GRIDS = {
    "detection": """
task: detection
recipe: {data: trees, epochs: 3, decay_epochs: [2], image_scale: [96, 96], rois: 16, proposals: 50,
  training_images: 120, evaluation_images: 8}
product: {mechanism: [0110+deformable]}
""",
    "segmentation": """
task: segmentation
recipe: {data: landcover, epochs: 3, crop: [48, 48], batch_size: 16, training_images: 192,
  evaluation_images: 16}
product: {mechanism: [1011]}
""",
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a function that returns a task's run, and its folder, completed once."""

    @functools.cache
    def completed(task):
        folder = tmp_path_factory.mktemp(task)
        grid = folder / "grid.yaml"
        grid.write_text(GRIDS[task])
        run = load(grid).runs()[0]
        made = open_folder(run, folder / "undisturbed")
        attempts.finish(made.path)
        return run, made

    return completed


@pytest.mark.parametrize("task", GRIDS)
def test_killed_and_resumed_equals_undisturbed(task, undisturbed, tmp_path):
    run, expected = undisturbed(task)
    disturbed = open_folder(run, tmp_path)
    attempts.kill(disturbed.path, after_epoch=1)
    newest = max((disturbed.path / "checkpoints").glob("epoch_*.pth"))
    assert newest.name in ("epoch_1.pth", "epoch_2.pth")
    attempts.finish(disturbed.path)
    assert disturbed.result["attempts"] == 2
    attempts.assert_equal(disturbed, expected)


def test_told_to_stop_and_resumed_equals_undisturbed_and_repeats_nothing(undisturbed, tmp_path):
    """And what somebody has put among the checkpoints is not executed."""
    run, expected = undisturbed("detection")
    disturbed = open_folder(run, tmp_path / "runs")
    checkpoints = disturbed.path / "checkpoints"
    assert attempts.stop(disturbed.path, 0, signal.SIGTERM) == "preempted"
    (newest,) = checkpoints.glob("*.pth")
    step = int(newest.stem.removeprefix("epoch_0_step_"))
    import torch

    payload = Payload(tmp_path / "executed")
    assert payload.works()
    torch.save(
        {"meta": {"epoch": 2, "iter": 20}, "state_dict": payload}, checkpoints / "epoch_8.pth"
    )
    assert "epoch_8.pth cannot be read" in attempts.finish(disturbed.path)
    assert not payload.path.exists()
    assert disturbed.result["attempts"] == 2
    attempts.assert_equal(disturbed, expected)
    assert attempts.steps(disturbed) == attempts.steps(expected)
    assert f"resumed epoch: 0, iter: {step}\n" in (disturbed.path / "train.log").read_text()


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage"])
@pytest.mark.parametrize("name", ["epoch_10.pth", "epoch_9_step_95.pth"])
def test_a_torn_checkpoint_is_passed_over(tmp_path, name, damage):
    import torch

    from plugins.openmmlab.checkpoints import newest_whole_checkpoint

    for before in ("epoch_2.pth", "epoch_8_step_89.pth", "epoch_9.pth", name):
        torch.save({"weights": torch.arange(1000.0)}, tmp_path / before)
    newest = tmp_path / name
    assert newest_whole_checkpoint(tmp_path) == newest
    newest.write_bytes(attempts.torn(newest.read_bytes(), damage))
    assert newest_whole_checkpoint(tmp_path).name == "epoch_9.pth"
    assert newest_whole_checkpoint(tmp_path / "nowhere") is None


def test_a_checkpoint_is_read_without_executing_it(tmp_path, monkeypatch):
    import torch
    from mmengine.logging import HistoryBuffer
    from mmengine.runner import load_checkpoint

    from plugins.openmmlab.checkpoints import load, newest_whole_checkpoint

    class Reach:
        """Gets at an attribute, as the first step to any function."""

        def __reduce__(self):
            return getattr, (HistoryBuffer, "__init__")

    good, bad = tmp_path / "epoch_1.pth", tmp_path / "epoch_2.pth"
    losses = HistoryBuffer([1.5, 2.5], [1, 1])
    torch.save({"meta": {"config": "import os"}, "losses": losses, "state_dict": {}}, good)
    payload = Payload(tmp_path / "executed")
    for wrong in (payload, Reach(), os.system):
        torch.save({"meta": {}, "state_dict": {}, "losses": wrong}, bad)
        assert newest_whole_checkpoint(tmp_path) == good
        with pytest.raises(Exception, match=r"(?i)weights.only|asks for '__init__'"):
            load_checkpoint(torch.nn.Linear(1, 1), str(bad), logger="silent")
    assert not payload.path.exists()
    # MMEngine's runner would execute a configuration that it finds there.
    assert load(good)["meta"] == {}
    assert load(good)["losses"].mean() == 2
