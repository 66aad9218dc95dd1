"""Doors: how a user's own files become a data set, without a package for them.

``study data add DOOR NAME --from DIR`` takes a folder in through a door, which is found by the
entry point ``study.doors``. What it writes is what the task's other data sets consist of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from plugins.contracts.copies import CopyCard
from plugins.contracts.dataset import Source

__all__ = ["Door", "DoorOptions", "OwnCard"]


class DoorOptions(BaseModel):
    """What a user may say of the files; a door adds fields with defaults.

    The values come from a command line, as text: a field reads text.

    Attributes
    ----------
    content: str
        What the items are, in a few words; shown under every table.
    licence: str
        Of the files.
    in_domain: bool
        Whether validation is of the same places, photos or products as training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    content: str = Field("", description="what the items are, in a few words")
    licence: str = Field("own data", description="of the files")
    in_domain: bool = Field(True, description="val is of the same places or products as train")


@dataclass(frozen=True, kw_only=True)
class OwnCard(CopyCard):
    """The card of a user's own set; `benchmark` is its name."""

    def line(self, sources: Iterable[Source], items: Mapping[str, int] | None = None) -> str:
        """Return the sentence that is printed under every table made from this set."""
        sizes = "/".join(str(items[split]) for split in self.splits) if items else ""
        return "; ".join(
            [
                f"own set {self.benchmark}: {self.content} ({self.licence})"
                + (f", {sizes} {self.unit}" if sizes else ""),
                f"{'in-domain' if self.in_domain else 'out-of-domain'} val",
            ]
        )


class Door(ABC):
    """Takes in files of one kind.

    Attributes
    ----------
    task: str
        The task that learns from them.
    Options: type
        What a user may say of them.
    content, unit: str
        What the items are unless the user says it, and what is counted.
    splits: tuple of str
        The splits whose sizes the card's line gives.
    packages: tuple of str
        Distributions whose version can change what is written.
    version: int
        Grows when the door writes something else.
    where: str
        What the folder consists of, for whoever gives another one.
    """

    task: ClassVar[str]
    Options: ClassVar[type[DoorOptions]] = DoorOptions
    content: ClassVar[str]
    unit: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = ("train", "val")
    packages: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    where: ClassVar[str]

    def card(self, name: str, options: Any) -> OwnCard:
        """Return the card of the set that is called `name`."""
        return OwnCard(
            task=self.task,
            content=options.content or self.content,
            licence=options.licence,
            unit=self.unit,
            benchmark=name,
            composed=False,
            in_domain=options.in_domain,
            packages=self.packages,
            notes=(),
            splits=self.splits,
            version=self.version,
            where=self.where,
        )

    @abstractmethod
    def prepare(
        self, copy: Path, out: Path, options: Any, progress: Callable[[str], None]
    ) -> dict[str, Any]:
        """Write into the folder `out` what the task reads: links to `copy`, or new files.

        Parameters
        ----------
        copy: Path
            The user's folder, which is only read.
        out: Path
            An empty folder.
        options: DoorOptions
            An instance of `Options`.
        progress: callable
            Told what is being done.

        Returns
        -------
        dict
            Counts for the card, ``items`` of each split among them. Under ``notes`` may stand
            sentences that a user must know; they are shown at once and kept on the card.

        Raises
        ------
        PrepareError
            If the folder is not what it should be. It names file and entry.
        """
