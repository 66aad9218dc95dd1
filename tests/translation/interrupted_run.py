"""Train until a number of updates is recorded, then wait to be killed: FOLDER DATA UPDATES."""

import dataclasses
import sys
import time
from pathlib import Path

import small_translation as small
import torch

from plugins.translation import train

folder, data, updates = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
job = small.job(folder, data)


def record(split, **values):
    job.record(split, **values)
    if split == "train" and values["step"] >= updates:
        time.sleep(3600)


train.train(dataclasses.replace(job, record=record))
