"""Checkpoints from elsewhere, refused in words that a user can act on."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from plugins.contracts.job import CheckpointError
from plugins.training.downloads import misnamed

__all__ = ["check_whole", "entry", "few", "misfits", "parameters", "unreadable"]

SHOWN = 3
"""Names of a list that a message shows."""


def check_whole(path: Path) -> None:
    """Compare a file with the SHA-256 in its name, and with the checksums that torch wrote into it.

    torch does not compare them when it reads.

    Raises
    ------
    CheckpointError
        If the file cannot be read, was cut short or has changed.
    """
    try:
        problem = misnamed(path, path.name)
        if problem:
            raise CheckpointError(
                f"{path} is not the file that its name says: {problem}. It was perhaps cut short;"
                " delete it and fetch it again, or rename it if this is no hash in its name"
            )
        if zipfile.is_zipfile(path):  # what torch has written since version 1.6
            with zipfile.ZipFile(path) as archive:
                torn = archive.testzip()
            if torn is not None:
                raise CheckpointError(
                    f"{path} is damaged: {torn} in it does not have its checksum; fetch it again"
                )
    except CheckpointError:
        raise
    except Exception as error:  # wrong bytes can raise anything in the archive's reader
        raise unreadable(path, error) from None


def entry(path: Path, holder: Mapping[str, Any], key: str, *kinds: type) -> Any:
    """Return an entry of a file's content or None; CheckpointError if its type is wrong."""
    value = holder.get(key)
    if value is None or isinstance(value, kinds):
        return value
    wanted = " or ".join(kind.__name__ for kind in kinds)
    raise CheckpointError(
        f"{path} is no checkpoint: its {key!r} is of type {type(value).__name__}, not {wanted}"
    )


def parameters(path: Path, state: Any, where: str) -> dict[str, Any]:
    """Return the state dict that a file has at `where`; CheckpointError if that is none."""
    from torch import Tensor

    wanted = "a checkpoint has tensors there, by the names of the parameters"
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path} is no checkpoint: {where} is of type {type(state).__name__}; {wanted}"
        )
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            kind = type(value).__name__
            raise CheckpointError(
                f"{path} is no checkpoint: {where} has under {name!r:.60} a {kind}; {wanted}"
            )
    return state


def unreadable(path: Path, error: Exception) -> CheckpointError:
    """Say why ``torch.load`` could not read a file as weights alone."""
    if isinstance(error, UnpicklingError) and (named := re.search(r"GLOBAL (\S+)", str(error))):
        return CheckpointError(
            f"{path} holds more than weights: {named[1]}. It is not read, since what it names would"
            " be called meanwhile; save its parameters alone"
        )
    if isinstance(error, OSError) and error.strerror:
        return CheckpointError(f"{path} cannot be read: {error.strerror}")
    # torch's message first advises to read it by force; the reason stands farther down.
    told = str(error).rpartition("WeightsUnpickler error:")[2].strip().splitlines()
    reason = ": ".join([type(error).__name__, *told[:1]]).partition(". ")[0]
    return CheckpointError(
        f"{path} is no file of torch's, or a damaged one, to be fetched or saved again ({reason})"
    )


def misfits(own: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Say which tensors a state dict lacks, has in excess, or has in another shape."""
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
