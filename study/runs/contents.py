"""Which content of its data set a run has seen: a name stays when the set is prepared anew."""

from __future__ import annotations

from study import data
from study.errors import StudyError
from study.runs.attempt import checkpoints
from study.runs.folder import RunFolder

__all__ = ["check_same_data", "fingerprint", "short"]

SHOWN = 12  # characters of a hash; git shows about as many


def short(digest: str) -> str:
    """Return as much of a hash as people compare."""
    return digest[:SHOWN]


def fingerprint(folder: RunFolder, name: str) -> str | None:
    """Return the fingerprint of the data set that the newest attempt at a run has recorded."""
    found = ((folder.provenance or {}).get("data") or {}).get(name) or {}
    return found.get("fingerprint")


def check_same_data(folder: RunFolder, name: str) -> None:
    """Refuse to continue a run on another content of its data set than it was begun on.

    Raises
    ------
    StudyError
        With both fingerprints, and the two ways out.
    """
    then, now = fingerprint(folder, name), data.card(name)["fingerprint"]
    if then not in (None, now) and _begun(folder):
        raise StudyError(
            f"{folder.path} was begun on another content of {name}: its fingerprint was"
            f" {short(str(then))}, and is {short(now)} now. Move the folder away to train the run"
            f" anew, or prepare {name} as it was to continue it"
        )


def _begun(folder: RunFolder) -> bool:
    return bool(folder.metrics) or any(checkpoints(folder.path))
