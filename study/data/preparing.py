"""Get data sets: download them, or take in the files of their user."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from plugins.contracts.copies import CopyCard
from study.data.building import DataSet, build, say
from study.data.doors import STORE, Added, added, check_name, read_options
from study.data.download import require_client
from study.data.sets import card, data_root, datasets, is_prepared, load, verify
from study.errors import StudyError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["add", "prepare", "prepare_from"]


def prepare(
    wanted: Iterable[str], root: Path | None = None, console: Console | None = None
) -> None:
    """Download and build the data sets that are not there yet.

    Parameters
    ----------
    wanted: iterable of str
        Names of data sets.
    root: Path, optional
        Where to; by default `data_root`.
    console: rich.console.Console, optional
        Where progress is shown; by default standard error.

    Raises
    ------
    StudyError
        If a name is unknown, a set needs a copy, a file cannot be downloaded or is a wrong one, or
        the disk is full. Nothing half-made is left; finished sets stay.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    root = (root or data_root()).resolve()
    modules = {name: load(name, root) for name in wanted}
    for name, module in modules.items():
        if is_prepared(name, root):
            card(name, root)
            say(console, f"{name}: already prepared ({root / name})")
        elif isinstance(module.CARD, CopyCard):
            raise StudyError(
                f"{name} cannot be downloaded by the study. {module.CARD.where}; then run: "
                f"study data prepare {name} --from THAT_FOLDER"
            )
        else:
            for source in module.SOURCES:
                require_client(source, root / STORE)
    for name, module in modules.items():
        if not is_prepared(name, root):
            build(name, module, root, console)


def prepare_from(
    name: str,
    copy: Path,
    root: Path | None = None,
    console: Console | None = None,
    subset: bool = False,
) -> None:
    """Prepare a data set from the user's copy, which is only read.

    Parameters
    ----------
    name: str
        Name of a data set that cannot be downloaded.
    copy: Path
        Folder of the copy.
    root: Path, optional
        Where to; by default `data_root`.
    console: rich.console.Console, optional
        Where progress is shown; by default standard error.
    subset: bool
        Whether the copy may be a part of the published set.

    Raises
    ------
    StudyError
        If the name is unknown, the set is embedded, the copy is not what it should be, the set was
        prepared from another copy, or the disk is full. Nothing half-made is left.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    root, copy = (root or data_root()).resolve(), copy.expanduser().absolute()
    module = load(name, root)
    if not isinstance(module.CARD, CopyCard):
        raise StudyError(
            f"{name} is downloaded, not prepared from a copy; run: study data prepare {name}"
        )
    _prepare_from(name, module, copy, root, console, subset)


def add(
    door: str,
    name: str,
    copy: Path,
    options: Iterable[str] = (),
    root: Path | None = None,
    console: Console | None = None,
) -> None:
    """Take a user's own files in as a data set, which is only read.

    Parameters
    ----------
    door: str
        The kind of data.
    name: str
        What the set shall be called.
    copy: Path
        The user's folder.
    options: iterable of str
        ``KEY=VALUE`` for the door.
    root: Path, optional
        Where to; by default `data_root`.
    console: rich.console.Console, optional
        Where progress is shown; by default standard error.

    Raises
    ------
    StudyError
        If an option or the name is wrong, the name is taken, the files are not what they should
        be, or the disk is full. Nothing half-made is left.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    root, copy = (root or data_root()).resolve(), copy.expanduser().absolute()
    module = Added(name, door, read_options(door, list(options)))
    check_name(name, datasets())
    there = added(name, root)
    if there is not None and there.record() != module.record():
        raise StudyError(
            f"{root / name} was made otherwise, by: {there.command}; to make it anew, delete it "
            "first (your files stay as they are)"
        )
    _prepare_from(name, cast(DataSet, module), copy, root, console, subset=False)


def _prepare_from(
    name: str, module: DataSet, copy: Path, root: Path, console: Console, subset: bool
) -> None:
    if is_prepared(name, root):
        before = card(name, root)["copy"]
        if Path(before).resolve() != copy.resolve():
            raise StudyError(
                f"{root / name} was prepared from {before}; to prepare it from {copy}, delete it "
                "first (the copy itself stays: it holds links)"
            )
        verify(name, root)
        say(console, f"{name}: already prepared ({root / name})")
        return
    if (root / name).resolve() == copy.resolve():
        raise StudyError(
            f"{copy} is where the prepared {name} goes; choose another folder for the prepared "
            "sets: --root, or STUDY_DATA"
        )
    build(name, module, root, console, copy, subset)
