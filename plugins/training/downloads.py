"""Files from the net in torch's cache, each fetched once. Imports no framework."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from plugins.contracts.job import CheckpointError

__all__ = ["cached", "download", "locked", "misnamed"]

HASHED = re.compile(r"-([0-9a-f]{8,64})(\.\w+)+$")
"""A name with the beginning of the file's SHA-256, as ``check_hash`` of torch.hub describes it."""

PATIENCE = 30.0
"""Seconds that a server may be silent."""

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
"""What a network file system says that cannot lock."""


def cached(url: str) -> Path:
    """Return where the file behind `url` belongs.

    That is torch's cache, ``$TORCH_HOME/hub/checkpoints``, as for torch's and OpenMMLab's own
    tools. A name that ends like ``-403cccba.pth`` has the beginning of the file's SHA-256 in it.
    Any other name, such as ``epoch_12.pth``, may be that of many files: each URL has a folder of
    its own there.

    Raises
    ------
    CheckpointError
        If the URL names no file.
    """
    name = Path(urlparse(url).path).name
    if not name:
        raise CheckpointError(f"{url} names no file")
    folder = _hub() / "checkpoints"
    if HASHED.search(name) is None:
        folder /= hashlib.sha256(url.encode()).hexdigest()[:16]
    return folder / name


def download(url: str, waiting: Callable[[], None] = lambda: None) -> Path:
    """Return the file behind `url`, which is downloaded unless torch's cache has it.

    The file appears when it is whole. Of several processes, on one host or many, one downloads it;
    `waiting` is called once in the others. Where the file system has no locks, each downloads it.

    Raises
    ------
    CheckpointError
        If it cannot be downloaded, or is not what its name says.
    """
    file = cached(url)
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with locked(_lock_of(file), waiting) as alone:
                if not file.exists():
                    _fetch(url, file, alone)
    except (OSError, HTTPException, ValueError) as error:
        raise CheckpointError(
            f"{url} cannot be downloaded into {file.parent}: {_reason(error)}"
        ) from None
    return file


def _hub() -> Path:
    """Return the folder that ``torch.hub.get_dir()`` returns."""
    home = os.environ.get("TORCH_HOME")
    if home is None:
        home = str(Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return Path(home).expanduser() / "hub"


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold the lock file `path`; call `waiting` once if another process holds it.

    Yields False where the file system has no locks: then nothing is held. The file stays: two
    processes can hold a lock file that is deleted in between.
    """
    with path.open("a") as file:
        yield _held(file, waiting)


def _held(file: IO[str], waiting: Callable[[], None]) -> bool:
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def _lock_of(file: Path) -> Path:
    """Return the lock file of a download; not beside it, where other tools look."""
    locks = _hub() / "locks"
    locks.mkdir(exist_ok=True)
    return locks / hashlib.sha256(bytes(file)).hexdigest()[:16]


def _fetch(url: str, file: Path, alone: bool) -> None:
    # torch's own function does not serve: it waits for ever, and takes a broken connection for the
    # end.
    for left in file.parent.glob(f"{file.name}.*.partial") if alone else ():
        left.unlink(missing_ok=True)  # by a process that was killed
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(8)}.partial")
    try:
        request = Request(url, headers={"User-Agent": "torch.hub"})
        with urlopen(request, timeout=PATIENCE) as answer, temporary.open("xb") as part:
            shutil.copyfileobj(answer, part)
            size, whole = part.tell(), int(answer.headers.get("Content-Length") or part.tell())
            part.flush()
            os.fsync(part.fileno())
        if size != whole:
            raise OSError(f"the connection broke after {size} of {whole} bytes; try again")
        if problem := misnamed(temporary, file.name):
            raise OSError(f"{problem}; try again")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """Return what went wrong, without urllib's brackets around it."""
    inner = getattr(error, "reason", None)
    said = inner if isinstance(inner, OSError) else error
    return getattr(said, "strerror", None) or str(said)


def misnamed(path: Path, name: str) -> str:
    """Say how a file's SHA-256 differs from the one in `name`; empty if it does not."""
    if (named := HASHED.search(name)) is None:
        return ""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    begins = digest[: len(named[1])]
    return "" if begins == named[1] else f"its SHA-256 begins with {begins}, not with {named[1]}"
