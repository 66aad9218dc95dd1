"""Where a trained model looks from one pixel of an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plugins.contracts.job import Job
from plugins.openmmlab import look as openmmlab
from plugins.segmentation.config import runner_config

__all__ = ["look"]


def look(job: Job, source: str, query: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return the attention for one pixel of the image file `source`.

    See :func:`plugins.openmmlab.look.look`.
    """
    return openmmlab.look(job, runner_config(job), Path(source), query)
