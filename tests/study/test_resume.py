"""A run killed with SIGKILL in mid-training ends like an undisturbed one, in every framework."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from study.folder import RunFolder
from study.grid import load
from study.run import open_folder

pytestmark = [pytest.mark.data, pytest.mark.train]

GRIDS = {
    "detection": """
task: detection
recipe: {data: trees, epochs: 3, decay_epochs: [2], image_scale: [96, 96], rois: 16, proposals: 50}
product: {mechanism: [0110+deformable]}
""",
    "segmentation": """
task: segmentation
recipe: {data: landcover, epochs: 3, crop: [48, 48], batch_size: 16}
product: {mechanism: [1011]}
""",
}


def train(path, kill_after_epoch=None):
    """Carry out the run at `path`; its worker is killed once the given epoch has a checkpoint."""
    folder = RunFolder(path)
    attempt = folder.claim()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    worker = [sys.executable, "-m", "study.worker", str(path), str(attempt.n)]
    process = subprocess.Popen(worker, env=environment, stdout=subprocess.DEVNULL, stderr=-1)
    if kill_after_epoch is not None:
        deadline = time.monotonic() + 300
        while _epoch(folder) <= kill_after_epoch:
            assert time.monotonic() < deadline, "no progress"
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert folder.result is None
        (attempt.path / "exit.json").write_text(
            json.dumps({"cause": "killed", "code": -9, "seconds": 1.0, "error": ""})
        )
        return
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()


def _epoch(folder):
    return max((line["epoch"] for line in folder.metrics if line["split"] == "train"), default=0)


@pytest.mark.parametrize("task", GRIDS)
def test_killed_and_resumed_equals_undisturbed(task, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(GRIDS[task])
    run = load(grid).runs()[0]
    undisturbed = open_folder(run, tmp_path / "undisturbed")
    disturbed = open_folder(run, tmp_path / "disturbed")
    train(undisturbed.path)
    train(disturbed.path, kill_after_epoch=1)
    newest = max((disturbed.path / "checkpoints").glob("epoch_*.pth"))
    assert newest.name in ("epoch_1.pth", "epoch_2.pth")
    train(disturbed.path)
    assert disturbed.result["attempts"] == 2
    for key in ("metrics", "untrained", "loss", "cost"):
        assert disturbed.result[key] == undisturbed.result[key], key
    assert _curve(disturbed) == _curve(undisturbed)
    assert len(_curve(disturbed)) > 5


def _curve(folder):
    return [{k: v for k, v in line.items() if k != "time"} for line in folder.metrics]


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage"])
def test_a_torn_checkpoint_is_passed_over(tmp_path, damage):
    import torch

    from plugins.openmmlab.training import newest_whole_checkpoint

    for epoch in (2, 9, 10):
        torch.save({"weights": torch.arange(1000.0)}, tmp_path / f"epoch_{epoch}.pth")
    torn = tmp_path / "epoch_10.pth"
    whole = torn.read_bytes()
    assert newest_whole_checkpoint(tmp_path) == torn
    middle = len(whole) // 2
    torn.write_bytes(
        {
            "cut": whole[:middle],
            "empty": b"",
            "garbage": whole[:middle] + bytes(64) + whole[middle + 64 :],
        }[damage]
    )
    assert newest_whole_checkpoint(tmp_path).name == "epoch_9.pth"
    assert newest_whole_checkpoint(tmp_path / "nowhere") is None
