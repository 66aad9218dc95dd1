"""What a file system cannot do must not cost a record: links, locks, syncs; a full disk is told."""

import errno
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from plugins.contracts import copies
from plugins.contracts.dataset import PrepareError
from study.data import contents
from study.files import append_jsonl, read_json, write_json, write_once
from study.launch.local.slots import Slots, _Worker
from study.launch.local.stopflag import StopFlag
from study.runs.attempt import Attempt
from study.runs.folder import iter_runs

from .conftest import study
from .made import planned

GRID = "task: toy\nproduct: {mechanism: [1111, none]}\nrecipe: {failing: '1111'}\n"
WITHOUT_LINKS = [
    *(errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV),
]
FULL = [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO]


def refuse(number):
    def call(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", WITHOUT_LINKS, ids=errno.errorcode.get)
def test_without_hard_links_the_first_account_counts_too(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "link", refuse(number))
    path = tmp_path / "exit.json"
    assert write_once(path, {"cause": "failed"}) is True
    assert write_once(path, {"cause": "killed"}) is False
    assert read_json(path) == {"cause": "failed"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["exit.json"]


@pytest.mark.parametrize("number", FULL, ids=errno.errorcode.get)
def test_a_link_that_fails_for_another_reason_is_an_error(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "link", refuse(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        write_once(tmp_path / "exit.json", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", FULL, ids=errno.errorcode.get)
def test_a_disk_that_is_full_leaves_room_for_the_next_account(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    path = tmp_path / "exit.json"
    with monkeypatch.context() as full:
        full.setattr(os, "write", refuse(number))
        with pytest.raises(OSError, match=os.strerror(number)) as raised:
            write_once(path, {"cause": "failed"})
    assert raised.value.filename == str(path)
    assert write_once(path, {"cause": "failed"}) is True


def test_half_an_account_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, content: write(file, content[:5]))
    with pytest.raises(OSError, match="only a part of it was written; is the disk full"):
        write_once(tmp_path / "exit.json", {"cause": "failed"})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="only a part") as raised:
        append_jsonl(tmp_path / "metrics.jsonl", {"split": "train"})
    assert raised.value.filename == str(tmp_path / "metrics.jsonl")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_what_cannot_be_synced_is_written_nevertheless(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "fsync", refuse(number))
    write_json(tmp_path / "a.json", {"a": 1})
    contents.sync(tmp_path)
    assert read_json(tmp_path / "a.json") == {"a": 1}
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_json(tmp_path / "a.json", {"a": 2})
    assert read_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_without_symbolic_links_a_set_from_a_copy_is_refused(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "symlink", refuse(number))
    with pytest.raises(PrepareError, match=r"without symbolic links.*set STUDY_DATA"):
        copies.link(tmp_path, tmp_path / "out" / "images")
    monkeypatch.setattr(os, "symlink", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        copies.link(tmp_path, tmp_path / "out" / "images")


def test_a_failed_run_keeps_its_error_where_there_are_no_hard_links(toy, tmp_path):
    custom, asked = tmp_path / "site/sitecustomize.py", tmp_path / "asked"
    custom.write_text(
        f"import os\ndef link(*a, **k):\n    open({str(asked)!r}, 'w').close()\n"
        "    raise PermissionError(1, 'Operation not permitted')\nos.link = link\n"
    )
    done = study("run", toy(GRID))
    assert (done.returncode, asked.exists()) == (1, True)
    good, bad = sorted(iter_runs(tmp_path / "runs"), key=lambda f: f.result is None)
    assert (good.state(), good.attempts[0].exit["cause"]) == ("completed", "completed")
    assert (bad.state(), bad.attempts[0].exit["error"]) == ("failed", "RuntimeError: as told")


def test_an_end_that_cannot_be_recorded_is_told(tmp_path, monkeypatch):
    folder = planned(tmp_path)
    attempt = folder.claim()
    slots = Slots(1, [])
    monkeypatch.setattr(Attempt, "end", refuse(errno.EROFS))
    slots._record(attempt, "failed", 1, 0.0, "the worker ended")
    (line,) = slots.unrecorded
    assert str(attempt.path) in line
    assert "failed, the worker ended" in line
    assert os.strerror(errno.EROFS) in line


def test_a_stop_tells_once_of_each_end_that_cannot_be_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(Attempt, "end", refuse(errno.EROFS))
    monkeypatch.setattr("study.launch.local.slots._tell", lambda process: None)
    polls = iter([None, None])
    ends = [lambda: -signal.SIGKILL, lambda: next(polls, 1)]
    attempt = planned(tmp_path).claim()
    workers = [
        _Worker(slot, "toy", None, attempt, SimpleNamespace(poll=end), 0.0)
        for slot, end in enumerate(ends)
    ]
    slots = Slots(2, [])
    slots._stop(workers, StopFlag(), print)
    assert ["signal SIGKILL" in line for line in slots.unrecorded] == [True, False]


def test_a_command_whose_records_are_lost_does_not_end_well(toy, tmp_path, monkeypatch):
    """As on a disk that was mounted read-only meanwhile."""
    broken = tmp_path / "site/sitecustomize.py"
    broken.write_text(
        "from study.runs import attempt\n"
        "def end(*a, **k):\n    raise OSError(30, 'Read-only file system')\n"
        "attempt.Attempt.end = end\n"
    )
    script = "import sitecustomize, sys; from study.cli import main; sys.argv[0] = 'study'; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "run", str(toy(GRID)), "--mechanism", "1111"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "error: the end of a run was not recorded:" in done.stderr
    assert "Read-only file system" in done.stderr
    (folder,) = iter_runs(tmp_path / "runs")
    told = (folder.path / "attempts/1/stderr").read_text()
    assert "RuntimeError: as told" in told
    assert "the end of this attempt, failed, was not recorded" in told
    assert json.loads((folder.path / "attempts/1/submission.json").read_text())["pid"]
