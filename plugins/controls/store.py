"""What runs of one kind of scene and one seed share: a stem, and what it says of the scenes.

Both stand in `STORE` beside the prepared sets, if something can be written there, and spare the
other runs most of their work.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch

from plugins.controls import drawing, stem

__all__ = ["STORE", "kept", "key", "save"]

T = TypeVar("T")

STORE = "stems"
"""Folder beside the prepared sets."""


def key(*decides: object) -> str:
    """Return a name for what these things decide, and the code that makes it."""
    found = hashlib.sha256(repr(decides).encode())
    for module in (stem, drawing):
        found.update(Path(str(module.__file__)).read_bytes())
    return found.hexdigest()[:16]


def kept(file: Path, make: Callable[[], T]) -> T:
    """Return the tensors that a file has; without one, or with a broken one, make and keep them."""
    try:
        found: T = torch.load(file, weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError):
        found = make()
        with suppress(OSError):
            save(found, file)
    return found


def save(tensors: object, file: Path) -> None:
    """Write tensors, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.with_suffix(f".{os.getpid()}")
    torch.save(tensors, whole)
    whole.replace(file)
