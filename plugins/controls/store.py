"""What runs of one kind of scene and one seed share: a stem, and what it says of the scenes.

Both stand in `STORE` beside the prepared sets, if something can be written there, and spare the
other runs most of their work. Nothing there is needed: what is gone is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import platform
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch

from plugins.controls import drawing, stem

__all__ = ["STORE", "load_or_make", "named", "save"]

T = TypeVar("T")

STORE = "stems"
"""Folder beside the prepared sets."""


def named(data: Path, *decides: object, weights: bytes = b"") -> Path:
    """Return the file for what these things decide on a data set.

    So do the code that makes it, torch, its threads and the kind of machine.
    """
    card = json.loads((data / "card.json").read_text())
    means = (torch.__version__, torch.get_num_threads(), platform.machine())
    found = hashlib.sha256(repr((card["fingerprint"], *decides, *means)).encode())
    found.update(weights)
    for module in (stem, drawing):
        found.update(Path(str(module.__file__)).read_bytes())
    return data.parent / STORE / f"{found.hexdigest()[:16]}.pt"


def load_or_make(file: Path, make: Callable[[], T]) -> T:
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
