"""Files of checkpoints: how they come, and that they are whole, before anything reads them."""

from __future__ import annotations

import errno
import hashlib
import socketserver
import subprocess
import sys
import threading
import zipfile

import pytest
import torch

from plugins.contracts.job import CheckpointError
from plugins.training import downloads
from plugins.training.checkpoints import check_whole
from plugins.training.downloads import download


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch/hub/checkpoints"


@pytest.fixture
def server():
    """Answers any request with `server.answer` and hangs up; without one it only listens."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(4096)
            if self.server.answer is None:
                self.server.done.wait(20)
                return
            self.request.sendall(self.server.answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.answer, server.done = True, None, threading.Event()
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.done.set()
        server.shutdown()
        thread.join()


def answer(length, content):
    return f"HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + content


def test_a_connection_that_breaks_leaves_nothing(cache, server):
    """The next attempt must not take half a file from the cache."""
    server.answer = answer(10, b"12345")
    for _ in range(2):
        with pytest.raises(CheckpointError, match="the connection broke after 5 of 10 bytes"):
            download(f"{server.url}/epoch_12.pth")
        assert not [path for path in cache.rglob("*") if path.is_file()]
    server.answer = answer(10, b"1234567890")
    file = download(f"{server.url}/epoch_12.pth")
    assert file.read_bytes() == b"1234567890"
    server.answer = answer(0, b"")
    assert download(f"{server.url}/epoch_12.pth") == file


def test_a_server_that_says_nothing_is_not_waited_for(cache, server, monkeypatch):
    monkeypatch.setattr(downloads, "PATIENCE", 0.2)
    with pytest.raises(CheckpointError, match=r"cannot be downloaded into .*: timed out"):
        download(f"{server.url}/epoch_12.pth")


@pytest.mark.parametrize("said", [b"", b"no HTTP\r\n\r\n", b"HTTP/1.0 404 Not here\r\n\r\n"])
def test_an_answer_that_is_no_file_is_told(said, cache, server):
    server.answer = said
    with pytest.raises(CheckpointError, match="cannot be downloaded"):
        download(f"{server.url}/epoch_12.pth")


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch, server):
    server.answer = answer(1, b"1")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match=rf"into {tmp_path}/file/hub\S*: .*Not a directory"):
        download(f"{server.url}/net-0123abcd.pth")


def test_only_a_long_hash_at_the_end_of_a_name_is_one(cache, server):
    """torch's own pattern would take the 12 of epoch-12.pth for a hash."""
    server.answer = answer(1, b"1")
    for name in ("epoch-12.pth", "net-0123abcd-last.pth", "net_0123abcd.pth", "net-abcdefgh.pth"):
        file = download(f"{server.url}/{name}")
        assert file.parent != cache
        check_whole(file)
    digest = hashlib.sha256(b"1").hexdigest()
    for name in (f"net-{digest[:8]}.pth", f"net-{digest}.pt", f"net-{digest[:12]}.pth.tar"):
        file = download(f"{server.url}/{name}")
        assert file == cache / name
        check_whole(file)
        file.write_bytes(b"2")
        with pytest.raises(CheckpointError, match=f"begins with d4735e3a.*, not with {digest[:8]}"):
            check_whole(file)


def test_a_changed_weight_is_noticed_which_torch_reads(tmp_path):
    path, weight = tmp_path / "net.pth", torch.arange(1000.0)
    torch.save({"weight": weight}, path)
    check_whole(path)
    content = bytearray(path.read_bytes())
    where = content.index(weight.numpy().tobytes())
    content[where + 400] ^= 1
    path.write_bytes(content)
    changed = torch.load(path)["weight"]
    assert (changed != weight).sum() == 1
    with pytest.raises(CheckpointError, match=r"is damaged: \S*data/0 in it does not"):
        check_whole(path)
    torch.save({"weight": weight}, path, _use_new_zipfile_serialization=False)
    check_whole(path)


def test_an_archive_that_cannot_be_read_is_told(tmp_path):
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "text")
    content = bytearray(path.read_bytes())
    for signature in (b"PK\3\4", b"PK\1\2"):
        content[content.index(signature) + (8 if signature[2] == 1 else 6)] |= 1  # encrypted
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is no file of torch's, or a damaged one"):
        check_whole(path)
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        check_whole(tmp_path / "net-0123abcd.pth")


@pytest.fixture
def counting():
    """A server that sends a file slowly, and counts how often it is asked."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(4096)
            self.server.asked += 1
            self.request.sendall(answer(10, b"12345"))
            self.server.go_on.wait(20)
            self.request.sendall(b"67890")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.asked, server.go_on = True, 0, threading.Event()
        server.url = f"http://127.0.0.1:{server.server_address[1]}/epoch_12.pth"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


DOWNLOADS = """
import sys
from plugins.training.downloads import download
print(download(sys.argv[1], lambda: print("waiting", flush=True)).read_text())
"""


def downloading(url):
    return subprocess.Popen(
        [sys.executable, "-c", DOWNLOADS, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_one_of_several_processes_downloads_and_the_others_wait(cache, counting):
    first = downloading(counting.url)
    while not counting.asked:
        assert first.poll() is None
    others = [downloading(counting.url) for _ in range(3)]
    assert [process.stdout.readline() for process in others] == ["waiting\n"] * 3
    assert not list(cache.rglob("epoch_12.pth"))  # what has arrived has another name
    counting.go_on.set()
    printed = [process.communicate(timeout=60)[0] for process in (first, *others)]
    assert printed == ["1234567890\n"] * 4
    assert counting.asked == 1


def test_after_a_killed_download_another_begins_anew(cache, counting):
    first = downloading(counting.url)
    while not list(cache.rglob("*.partial")):
        assert first.poll() is None
    first.kill()
    first.communicate()
    (left,) = cache.rglob("*.partial")
    counting.go_on.set()
    assert download(counting.url).read_bytes() == b"1234567890"
    assert not left.exists()


def test_a_file_system_without_locks_will_do(cache, counting, monkeypatch):
    def flock(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    counting.go_on.set()
    (file,) = {download(counting.url) for _ in range(2)}
    assert file.read_bytes() == b"1234567890"
    assert counting.asked == 1
