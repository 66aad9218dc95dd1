"""The checkpoints of a run: their names, and reading them without executing what they hold.

A checkpoint is a pickle, which can name any function to be called while it is read. torch's
``weights_only`` refuses all but a list; MMEngine adds ``getattr`` to that list, through which
anything can be reached, and reads refused files without a list. So everything that MMEngine loads
from a file goes through :func:`load`, which does neither.
"""

from __future__ import annotations

import logging
import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

__all__ = ["load", "mid_epoch_checkpoints", "mid_epoch_name", "newest_whole_checkpoint", "read"]

logger = logging.getLogger(__name__)

NAME = re.compile(r"epoch_(?P<epochs>\d+)(_step_(?P<steps>\d+))?\.pth")
"""``epoch_2.pth``, after two epochs, and ``epoch_2_step_70.pth``, after some of the third."""


def mid_epoch_name(epochs: int, steps: int) -> str:
    """Return the name of a checkpoint after `epochs` whole epochs and `steps` steps in all."""
    return f"epoch_{epochs}_step_{steps}.pth"


def mid_epoch_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in `folder` that were made within an epoch."""
    return list(folder.glob("epoch_*_step_*.pth"))


def newest_whole_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint in `folder` that can be read, None without one.

    A checkpoint is a zip archive; its checksums show whether all of it was written. A checkpoint
    that is torn, or holds more than it should, is skipped.
    """
    found = [(match, path) for path in folder.glob("*.pth") if (match := NAME.fullmatch(path.name))]
    for _, path in sorted(found, key=lambda pair: _progress(pair[0]), reverse=True):
        try:
            with zipfile.ZipFile(path) as archive:
                torn = archive.testzip()
            if torn is None:
                load(path, mmap=True)
                return path
            logger.warning("%s is torn", path)
        except Exception as error:  # wrong bytes can raise anything in the unpickler
            logger.warning("%s cannot be read: %r", path, error)
    return None


def _progress(match: re.Match[str]) -> tuple[int, int]:
    return int(match["epochs"]), int(match["steps"] or 0)


@CheckpointLoader.register_scheme(prefixes="", force=True)
def load(path: str | Path, map_location: Any = "cpu", mmap: bool = False) -> Any:
    """Read a checkpoint for MMEngine's runner, without what the runner would execute."""
    checkpoint = read(path, map_location, mmap)
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get("meta"), dict):
        # MMEngine's runner would execute this as a Python file; no recent version writes it.
        checkpoint["meta"].pop("config", None)
    return checkpoint


def read(path: str | Path, map_location: Any = "cpu", mmap: bool = False) -> Any:
    """Read a checkpoint that MMEngine has written.

    Parameters
    ----------
    path: str or Path
        The file.
    map_location, mmap
        As for ``torch.load``; with ``mmap`` weights are read when they are used.

    Raises
    ------
    pickle.UnpicklingError
        If it holds anything that MMEngine's checkpoints do not.
    """
    with torch.serialization.safe_globals(_HARMLESS):
        return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)


def _statistic(owner: type, name: str) -> Any:
    """Stand in for ``getattr``, which a pickled history of losses uses for its four methods."""
    if owner is not HistoryBuffer or name not in ("min", "max", "mean", "current"):
        raise UnpicklingError(f"the checkpoint asks for {name!r} of {owner!r}")
    return getattr(owner, name)


_HARMLESS = [
    HistoryBuffer,
    (_statistic, "builtins.getattr"),
    np.ndarray,
    np.dtype,
    type(np.dtype(np.float64)),
    type(np.dtype(np.int64)),
    np.empty(0).__reduce__()[0],  # the function that makes an array
    np.float64(0).__reduce__()[0],  # and the one that makes a number
]
"""What the histories of losses and learning rates are made of."""
