"""Pretrained weights of backbones, as MMEngine loads them by their names.

MMEngine's own loader asks torchvision for its table of URLs, and cannot do without it. This one
takes the table that MMEngine ships, lets one process download a file, and compares the file with
the SHA-256 in its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from torch import nn

from plugins.contracts.job import CheckpointError
from plugins.openmmlab.pretrained import TABLES, weights_file
from plugins.training.checkpoints import check_whole, misfits, unreadable
from plugins.training.downloads import download

__all__ = ["check_backbone", "load_backbone"]

OF_BACKBONE = "backbone."
"""How names begin in a file of a whole classifier."""


@CheckpointLoader.register_scheme(prefixes=tuple(TABLES), force=True)
def load_backbone(name: str, map_location: Any = "cpu") -> dict[str, Any]:
    """Return the content of the file that a name stands for, which is fetched if it is not there.

    Raises
    ------
    CheckpointError
        If it cannot be had, is not the file that its name says, or holds more than weights.
    """
    file = weights_file(name)
    path: Path = download(file.url) if file.url else file.path
    check_whole(path)
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # wrong bytes can raise anything in the unpickler
        raise unreadable(path, error) from None
    state = content.get("state_dict", content)
    if name.startswith("mmcls://"):  # as MMEngine does
        state = {
            key.removeprefix(OF_BACKBONE): value
            for key, value in state.items()
            if key.startswith(OF_BACKBONE)
        }
    return {"state_dict": state}


def check_backbone(backbone: nn.Module, name: str) -> None:
    """Raise CheckpointError unless a file has all weights of a backbone but its mechanisms'.

    MMEngine would load what fits and leave the rest at random, with no more than a warning.

    Parameters
    ----------
    backbone: nn.Module
        Built, with the mechanisms in it.
    name: str
        The recipe's ``pretrained``. What the file has beside a backbone, such as a classifier, is
        not looked at.
    """
    given = load_backbone(name)["state_dict"]
    given = {key.removeprefix("module."): value for key, value in given.items()}
    inside = tuple(
        f"{path}." for path, module in backbone.named_modules() if hasattr(module, "mechanism")
    )
    parts = {path for path, _ in backbone.named_children()}
    own = {key: value for key, value in backbone.state_dict().items() if not key.startswith(inside)}
    comparable = {
        key: value
        for key, value in given.items()
        if key.partition(".")[0] in parts and not key.startswith(inside)
    }
    # Files of torch before 1.0 have no count of batches, and nothing needs it.
    for key in [key for key in own if key.endswith(".num_batches_tracked")]:
        comparable.setdefault(key, own[key])
    if wrong := misfits(own, comparable):
        raise CheckpointError(
            f"pretrained {name!r} is of another backbone than the recipe's: {'; '.join(wrong)}"
        )
