"""What somebody wrote about a run, and the tags they gave it: ``note.json`` in the run folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from study.errors import StudyError, nearest
from study.files import BrokenFile, write_json
from study.runs.archive import ArchivedRun
from study.runs.folder import RunFolder

__all__ = ["Note", "note", "tagged", "write"]

SCHEMA = 1


@dataclass(frozen=True)
class Note:
    """A text of any length, perhaps empty, and tags in alphabetical order."""

    text: str = ""
    tags: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """All of it on one line: the tags in brackets, then the text."""
        return " ".join([*(f"[{tag}]" for tag in self.tags), *self.text.split()])


def note(folder: RunFolder) -> Note:
    """Return the note of a run, archived or not; an empty one if it has none.

    Raises
    ------
    BrokenFile
        If the file holds something else.
    """
    record = folder.note or {}
    text, tags = record.get("text", ""), record.get("tags", [])
    if not isinstance(text, str) or not isinstance(tags, list):
        raise BrokenFile(f"{folder.path / 'note.json'}: not a text and a list of tags")
    return Note(text, tuple(map(str, tags)))


def tagged(old: Note, add: Iterable[str], remove: Iterable[str]) -> Note:
    """Return the note with other tags.

    Raises
    ------
    StudyError
        If a tag is no word, or one that is to go is not there.
    """
    tags = set(old.tags)
    for tag in remove:
        if tag not in tags:
            raise StudyError(f"--untag {tag}: the run has no such tag{nearest(tag, tags)}")
        tags.discard(tag)
    for tag in add:
        if not tag or any(sign.isspace() or sign in ",[]" for sign in tag):
            raise StudyError(f"--tag {tag!r}: a tag is one word, without commas and brackets")
        tags.add(tag)
    return Note(old.text, tuple(sorted(tags)))


def write(folder: RunFolder, new: Note) -> None:
    """Write the note of a run.

    Raises
    ------
    StudyError
        If the run is archived: its file is an account of what was, and may be committed.
    """
    if isinstance(folder, ArchivedRun):
        raise StudyError(
            f"{folder.path.name} is archived in {folder.file} and has no folder for a note; write "
            "notes before study archive, which keeps them"
        )
    write_json(folder.path / "note.json", {"schema": SCHEMA, "text": new.text, "tags": new.tags})
