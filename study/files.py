"""Files of which a reader never sees half: text and JSON written whole, lines of JSON appended."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from study.errors import StudyError

__all__ = [
    *("BOOKKEEPING", "BrokenFile", "Unreadable", "append_jsonl", "last_records", "naming"),
    "read_json",
    *("read_metrics", "sync", "write_bytes", "write_json", "write_once", "write_text"),
]

NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
"""How file systems without hard links refuse one: FAT, exFAT, some of networks and in user space.
"""

NO_SYNC = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
"""How file systems refuse to sync what they cannot, such as a folder."""


BOOKKEEPING = ("split", "time", "step", "epoch")
"""What a line of ``metrics.jsonl`` has beside the numbers that the task records."""

TAIL_BYTES = 8192  # of metrics.jsonl, enough for its newest lines


class BrokenFile(StudyError):
    """A file of a run folder that is torn, empty or not what the contract says."""


class Unreadable(BrokenFile):
    """A file or a folder of a run that its owner lets nobody else read."""

    def __init__(self, path: Path) -> None:
        owner = next(
            (name for each in (path, *path.parents) if (name := _owner(each))), "its owner"
        )
        super().__init__(f"{path} may not be read; chmod -R g+rX by {owner} lets the group read it")


def write_text(path: Path, text: str) -> None:
    """Write `text` so that a reader of `path` sees the old file or the new one, whole.

    Missing parent folders are created. A full disk leaves the file of before.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` as `write_text` does."""
    with _written_beside(path, content) as temporary:
        temporary.replace(path)


def write_json(path: Path, obj: Any) -> None:
    """Write `obj` as `write_text` does; keys keep their order."""
    write_text(path, _json(obj))


def write_once(path: Path, obj: Any) -> bool:
    """Write `obj` as `write_json` does, unless the file exists: False, and it stays as it is.

    Of any number of processes, on any number of hosts, that write at the same time one succeeds.
    """
    with _written_beside(path, _json(obj).encode()) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            # A network file system may have done it and lost the answer.
            return temporary.stat().st_nlink > 1
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return _created(path, temporary.read_bytes())
        return True


def _created(path: Path, content: bytes) -> bool:
    """Create a file; False if it exists. For file systems without hard links.

    A reader may see half of it for a moment; a writer that is killed in this moment leaves that.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        _write_whole(descriptor, content, path)
        sync(descriptor)
    except OSError:
        path.unlink(missing_ok=True)  # whoever tries next may succeed
        raise
    finally:
        os.close(descriptor)
    return True


def sync(descriptor: int) -> None:
    """Write a file or a folder to the disk, where the file system can do that."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def _write_whole(descriptor: int, content: bytes, path: Path) -> None:
    """Write with one call, so that a kill leaves all of it or nothing; OSError names the file."""
    try:
        written = os.write(descriptor, content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    if written != len(content):
        raise OSError(errno.ENOSPC, "only a part of it was written; is the disk full?", str(path))


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (OSError, KeyError):
        return ""


def _json(obj: Any) -> str:
    return json.dumps(obj, indent=2, ensure_ascii=False) + "\n"


@contextmanager
def _written_beside(path: Path, content: bytes) -> Iterator[Path]:
    """Yield a file with `content` in it, which is gone afterwards unless it was renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its 0600 would hide the results from the colleagues who share the disk.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with naming(path, temporary):
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                sync(file.fileno())
            yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, temporary: Path) -> Iterator[None]:
    """Let errors of the system name the file or folder `path`, not what becomes it in the end."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        named = str(error.filename or path).replace(str(temporary), str(path))
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), named) from error


def append_jsonl(path: Path, record: dict[str, Any]) -> None:
    """Append `record` as one line, after ending the torn line of a killed writer if there is one.

    OSError if the disk took only a part of it.
    """
    line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        _write_whole(descriptor, line, path)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None when there is no such file, `BrokenFile` when it holds no object."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except PermissionError:
        raise Unreadable(path) from None
    try:
        obj = json.loads(text)
    except ValueError as error:  # UnicodeDecodeError is one
        raise BrokenFile(f"{path}: empty or torn JSON ({error})") from None
    if not isinstance(obj, dict):
        raise BrokenFile(f"{path}: holds a JSON {type(obj).__name__}, not an object")
    return obj


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read ``metrics.jsonl``: the last record of each (split, step), by step, step-less ones first.

    Torn lines are skipped: a killed writer leaves one at the end, in the middle once the next
    attempt has appended. A resumed run repeats steps; only its later account counts.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except PermissionError:
        raise Unreadable(path) from None
    records: dict[tuple[Any, Any], dict[str, Any]] = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records[record.get("split"), record.get("step")] = record
    # The sort is stable: records of one step keep the order in which they were first written.
    return sorted(records.values(), key=lambda r: (r.get("step") is not None, r.get("step") or 0))


def last_records(path: Path) -> list[dict[str, Any]]:
    """Return the records at the end of ``metrics.jsonl``, in some kB, the newest last."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    except PermissionError:
        raise Unreadable(path) from None
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the first line may be cut, the last torn
        if isinstance(record, dict):
            records.append(record)
    return records
