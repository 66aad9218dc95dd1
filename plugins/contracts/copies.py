"""Published data sets that are not downloaded: the user has a copy, which stays as it is.

Instead of sources, a module of such a set has a `CopyCard` and

- ``recognises(folder)``: whether a folder looks like a copy of the set, even an incomplete one;
- ``prepare(copy, out, progress, subset)``: check the copy, and fill `out`: links to what can be
  used as it is, new files for the rest. The copy is only read.

This module is what they share.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plugins.contracts.dataset import Card, PrepareError, Source

__all__ = [
    "CopyCard",
    "check_counts",
    "check_folder",
    "link",
    "readable_image",
    "some",
]

SHOWN = 3

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
"""How file systems without symbolic links refuse one."""


@dataclass(frozen=True, kw_only=True)
class CopyCard(Card):
    """The card of a set that is prepared from its user's copy. `benchmark` is its full name.

    Parameters
    ----------
    where: str
        Where to get the set, and what a copy consists of.
    subset: bool
        Whether the copy is part of the published set, on purpose.
    divided: str
        How the splits came about.
    """

    where: str
    subset: bool = False
    divided: str = "published splits"

    def line(self, sources: Iterable[Source], items: Mapping[str, int] | None = None) -> str:
        """Return the sentence that is printed under every table made from this set."""
        sizes = "/".join(str(items[split]) for split in self.splits) if items else ""
        return "; ".join(
            [
                f"{'part of ' if self.subset else ''}{self.benchmark} ({self.licence})"
                + (f", {sizes} {self.unit}" if sizes else ""),
                f"not comparable with {self.benchmark}" if self.subset else self.divided,
            ]
        )


def check_folder(copy: Path, card: CopyCard) -> None:
    """Raise PrepareError if there is no folder `copy`."""
    if not copy.is_dir():
        found = "is not a folder" if copy.exists() else "does not exist"
        raise PrepareError(f"{copy} {found}; {card.where}")


def check_counts(found: Mapping[str, int], official: Mapping[str, int], subset: bool) -> bool:
    """Compare counts with the published numbers; return whether all agree.

    Raises
    ------
    PrepareError
        If one differs and `subset` is false.
    """
    wrong = [f"{found[what]} {what}, not {n}" for what, n in official.items() if found[what] != n]
    if wrong and not subset:
        raise PrepareError(
            f"the copy differs from the published set: {'; '.join(wrong)}. Complete it, or add "
            "--subset if a part of the set is what you mean; results are then marked as not "
            "comparable with it"
        )
    return not wrong


@contextmanager
def readable_image(path: Path) -> Iterator[None]:
    """Turn Pillow's errors about a broken image into a PrepareError that names the file."""
    try:
        yield
    except (OSError, SyntaxError, ValueError) as error:
        raise PrepareError(
            f"{path} cannot be read as an image ({error}); take it from the archive again"
        ) from error


def link(target: Path, path: Path) -> None:
    """Make `path` a link to the copy's file or folder `target`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.symlink_to(target.absolute())
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        raise PrepareError(
            f"{path.parent} is on a file system without symbolic links ({error.strerror}), which a"
            " set from a copy consists of; set STUDY_DATA to a folder on another disk"
        ) from None


def some(names: Iterable[object]) -> str:
    """Return the number of `names` and the first few of them, in order, for an error message."""
    ordered = sorted(str(name) for name in names)
    more = ", ..." if len(ordered) > SHOWN else ""
    return f"{len(ordered)} ({', '.join(ordered[:SHOWN])}{more})"
