"""docs/coco.md, followed literally with MMDetection's own training script, on four images."""

import os
import re
import subprocess
import sys
from pathlib import Path

import mmdet
import pytest

from study import data

ROOT = Path(__file__).parents[2]


@pytest.mark.data
@pytest.mark.train
def test_the_config_of_the_page_trains_with_mmdetections_script(tmp_path):
    page = (ROOT / "docs/coco.md").read_text()
    (tmp_path / "attention.py").write_text(re.search(r"```python\n(.*?)```", page, re.S)[1])
    (tmp_path / "small.py").write_text(
        "_base_ = './attention.py'\nmodel = dict(backbone=dict(init_cfg=None, frozen_stages=-1))\n"
    )
    trees = data.path("trees")
    options = {"train_cfg.max_epochs": 1, "default_hooks.logger.interval": 1}
    for loader, split, images in (("train_dataloader", "train", 4), ("val_dataloader", "val", 1)):
        options |= {
            f"{loader}.num_workers": 0,
            f"{loader}.persistent_workers": False,
            f"{loader}.dataset.data_root": f"{trees}/",
            f"{loader}.dataset.ann_file": f"annotations/{split}.json",
            f"{loader}.dataset.data_prefix.img": "images/",
            f"{loader}.dataset.metainfo.classes": "['tree']",
            f"{loader}.dataset.indices": images,
        }
    options["train_dataloader.dataset.pipeline.2.scale"] = "(96,96)"
    options["val_dataloader.dataset.pipeline.1.scale"] = "(96,96)"
    options["val_evaluator.ann_file"] = f"{trees}/annotations/val.json"
    done = subprocess.run(
        [
            sys.executable,
            str(Path(mmdet.__file__).parent / ".mim/tools/train.py"),
            str(tmp_path / "small.py"),
            "--work-dir",
            str(tmp_path / "work"),
            "--cfg-options",
            *(f"{key}={value}" for key, value in options.items()),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Epoch(train) [1][2/2]" in done.stderr + done.stdout
    assert (tmp_path / "work" / "epoch_1.pth").exists()
