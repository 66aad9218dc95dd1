"""Checkpoints from elsewhere: fetched, and refused in words that their user can act on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.parse import urlparse

from plugins.job import CheckpointError

__all__ = ["download", "few", "misfits", "unreadable"]

SHOWN = 3
"""Names of a list that a message shows."""


def download(url: str) -> Path:
    """Return the file behind `url`, which is downloaded unless torch's cache has it.

    The cache is ``$TORCH_HOME/hub/checkpoints``, as for torch's and OpenMMLab's own tools. A name
    that ends like ``-403cccba.pth`` has the beginning of the file's SHA-256 in it, which is
    compared; the file appears when it is whole. Any other name, such as ``epoch_12.pth``, may be
    that of many files: each URL has a folder of its own there.

    Raises
    ------
    CheckpointError
        If it cannot be had, or is not what its name says.
    """
    from torch import hub

    name = Path(urlparse(url).path).name
    if not name:
        raise CheckpointError(f"{url} names no file")
    prefix = hub.HASH_REGEX.search(name)
    cache = Path(hub.get_dir()) / "checkpoints"
    if prefix is None or not prefix[1]:
        prefix, cache = None, cache / hashlib.sha256(url.encode()).hexdigest()[:16]
    file = cache / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            hub.download_url_to_file(url, str(file), prefix[1] if prefix else None, progress=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{url} cannot be downloaded: {error}") from None
    return file


def unreadable(path: Path, error: Exception) -> CheckpointError:
    """Say why ``torch.load`` could not read a file as weights alone."""
    if isinstance(error, UnpicklingError) and (named := re.search(r"GLOBAL (\S+)", str(error))):
        return CheckpointError(
            f"{path} holds more than weights: {named[1]}. It is not read, since what it names would"
            " be called meanwhile; save its parameters alone"
        )
    reason = (str(error).splitlines() or [""])[0]
    if isinstance(error, FileNotFoundError | PermissionError):
        return CheckpointError(f"{path} cannot be read: {reason}")
    return CheckpointError(
        f"{path} is no file of torch's, or a damaged one ({type(error).__name__}: {reason})"
    )


def misfits(own: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Say which tensors of a state dict a model lacks, has besides, or has in another shape."""
    missing = [name for name in own if name not in given]
    surplus = [name for name in given if name not in own]
    shapes = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    said = {"it lacks": missing, "it has besides": surplus, "it has": shapes}
    return [f"{words} {few(names)}" for words, names in said.items() if names]


def few(names: Iterable[Any]) -> str:
    """Return the first of a list, and how many more there are."""
    listed = [str(name) for name in names]
    shown = ", ".join(listed[:SHOWN])
    return f"{shown} and {len(listed) - SHOWN} more" if len(listed) > SHOWN else shown
