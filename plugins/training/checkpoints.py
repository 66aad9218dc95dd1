"""Checkpoints from elsewhere: download them, and refuse them in words that a user can act on."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from plugins.contracts.job import CheckpointError

__all__ = ["check_whole", "download", "entry", "few", "misfits", "parameters", "unreadable"]

SHOWN = 3
"""Names of a list that a message shows."""

HASHED = re.compile(r"-([0-9a-f]{8,64})(\.\w+)+$")
"""A name with the beginning of the file's SHA-256, as ``check_hash`` of torch.hub describes it."""

PATIENCE = 60.0
"""Seconds that a server may be silent."""


def download(url: str) -> Path:
    """Return the file behind `url`, which is downloaded unless torch's cache has it.

    The cache is ``$TORCH_HOME/hub/checkpoints``, as for torch's and OpenMMLab's own tools. A name
    that ends like ``-403cccba.pth`` has the beginning of the file's SHA-256 in it. Any other name,
    such as ``epoch_12.pth``, may be that of many files: each URL has a folder of its own there. The
    file appears when it is whole.

    Raises
    ------
    CheckpointError
        If it cannot be downloaded, or is not what its name says.
    """
    from torch import hub

    name = Path(urlparse(url).path).name
    if not name:
        raise CheckpointError(f"{url} names no file")
    cache = Path(hub.get_dir()) / "checkpoints"
    if HASHED.search(name) is None:
        cache /= hashlib.sha256(url.encode()).hexdigest()[:16]
    file = cache / name
    try:
        if not file.exists():
            cache.mkdir(parents=True, exist_ok=True)
            _fetch(url, file)
    except (OSError, HTTPException, ValueError) as error:
        raise CheckpointError(f"{url} cannot be downloaded into {cache}: {error}") from None
    return file


def _fetch(url: str, file: Path) -> None:
    # torch's own function does not serve: it waits for ever, and takes a broken connection for the
    # end.
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(8)}.partial")
    try:
        request = Request(url, headers={"User-Agent": "torch.hub"})
        with urlopen(request, timeout=PATIENCE) as answer, temporary.open("xb") as part:
            shutil.copyfileobj(answer, part)
            size, whole = part.tell(), int(answer.headers.get("Content-Length") or part.tell())
        if size != whole:
            raise OSError(f"the connection broke after {size} of {whole} bytes; try again")
        if problem := _misnamed(temporary, file.name):
            raise OSError(f"{problem}; try again")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _misnamed(path: Path, name: str) -> str:
    """Say how a file's SHA-256 differs from the one in its name; empty if it does not."""
    if (named := HASHED.search(name)) is None:
        return ""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    begins = digest[: len(named[1])]
    return "" if begins == named[1] else f"its SHA-256 begins with {begins}, not with {named[1]}"


def check_whole(path: Path) -> None:
    """Compare a file with the SHA-256 in its name, and with the checksums that torch wrote into it.

    torch does not compare them when it reads.

    Raises
    ------
    CheckpointError
        If the file cannot be read, was cut short or has changed.
    """
    try:
        problem = _misnamed(path, path.name)
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
