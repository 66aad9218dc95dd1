"""``study evaluate``, with a task whose checkpoints are numbers."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from .conftest import study
from .made import everything

GRID = """
    task: toy
    recipe: {epochs: 2}
    product: {mechanism: [none, "0110", "1111"], sites: [[a], [a, b]]}
    exclude: [{mechanism: "0110", sites: [b, a]}]
    seeds: [0, 1]
"""
EVALUATE = """

    def evaluate(job, checkpoint):
        import os, sys, time
        from plugins.job import CheckpointError

        assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
        print("a framework's greeting")
        text = checkpoint.read_text()
        if text == "slow":
            (checkpoint.parent / "pid").write_text(str(os.getpid()))
            time.sleep(60)
        if text == "crash":
            print("the framework's last words", file=sys.stderr)
            raise RuntimeError("out of order")
        if not text.isdecimal():
            raise CheckpointError(f"{checkpoint.name} is no number")
        (job.folder / "scratch").write_text("anything")
        return {"score": int(text) / 10, "sites": len(job.sites),
                "hidden": float(os.environ.get("CUDA_VISIBLE_DEVICES") == "")}
"""
PUBLISHED = """
    import os
    from typing import NamedTuple
    from plugins.job import CheckpointError

    class Entry(NamedTuple):
        name: str
        weights: str
        data: str
        metrics: dict

    def find(word):
        url = os.environ.get("TOY_URL", "http://127.0.0.1:9/toy-net.pth")
        known = {"toy-net": "toy-data", "strange-net": "strange-data"}
        for name, data in known.items():
            if word in (name, name + ".pth"):
                return Entry(name, url, data, {"score": 0.75})

    def names():
        return ["toy-net", "strange-net"]

    def check(job, entry):
        if job.mechanism.base == "none":
            raise CheckpointError(f"{entry.name} has attention")

    def otherwise_evaluated(job, entry):
        return [] if len(job.sites) == 1 else ["sites: 1, here 2"]
"""


@pytest.fixture
def grid(toy, tmp_path, monkeypatch):
    package = tmp_path / "site/toytask"
    with (package / "train.py").open("a") as file:
        file.write(textwrap.dedent(EVALUATE))
    (package / "published.py").write_text(textwrap.dedent(PUBLISHED))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "good.pth").write_text("7")
    (tmp_path / "bad.pth").write_text("seven")
    (tmp_path / "crash.pth").write_text("crash")
    return toy(GRID)


def refused(*arguments):
    done = study("evaluate", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def found(*arguments):
    done = study("evaluate", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_file_is_evaluated_and_nothing_written(grid, tmp_path):
    before = everything(tmp_path)
    answer = found(grid, "--checkpoint", "good.pth", "--mechanism", "1111", "--sites", "a.b")
    assert answer == {
        "checkpoint": "good.pth", "mechanism": "1111", "sites": ["a", "b"], "data": "toy-data",
        "name": None, "published": {}, "notes": [],
        "metrics": {"score": 0.7, "sites": 2, "hidden": 1.0},
    }  # fmt: skip
    shown = study("evaluate", grid, "--checkpoint", tmp_path / "good.pth", "--mechanism", "none")
    assert shown.stdout.splitlines()[0].strip() == "none · toy-data"
    assert "score" in shown.stdout
    assert "0.7000" in shown.stdout
    assert "published" not in shown.stdout
    changed = {path for path, time in everything(tmp_path).items() if before.get(path) != time}
    assert not {path for path in changed if "__pycache__" not in path.parts}


def test_who_stops_it_stops_all_of_it(grid, tmp_path):
    slow = tmp_path / "slow"
    slow.write_text("slow")
    command = ["evaluate", grid, "--mechanism", "0110", "--checkpoint", slow]
    process = subprocess.Popen(
        [sys.executable, "-m", "study", *map(str, command)],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    told = tmp_path / "pid"
    deadline = time.monotonic() + 30
    while not (told.exists() and told.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(20)
    assert not psutil.pid_exists(int(told.read_text()))


def test_one_cell_must_be_meant(grid):
    good = ("--checkpoint", "good.pth")
    assert refused(grid, *good) == (
        "error: the grid has 3 models; choose by --mechanism none, 0110 or 1111"
    )
    assert "1111 stands at several sites; choose by --sites a or a.b" in refused(
        grid, *good, "--mechanism", "1111"
    )
    assert "1111 stands at a or a.b, not 'b'" in refused(
        grid, *good, "--mechanism", "1111", "--sites", "b"
    )
    assert found(grid, *good, "--mechanism", "0110")["sites"] == ["a"]
    assert "the grid has no '0111'; did you mean" in refused(grid, *good, "--mechanism", "0111")
    assert "unknown mechanism" in refused(grid, *good, "--mechanism", "abc")


def test_what_is_no_checkpoint_is_told(grid, tmp_path):
    def given(word):
        return refused(grid, "--checkpoint", word, "--mechanism", "0110")

    assert given("none.pth") == "error: no such file: none.pth"
    assert given("away/none") == "error: no such file: away/none"
    assert "is a folder; name a file in it" in given(tmp_path)
    assert "no published checkpoint 'toy-ned'; did you mean 'toy-net'?" in given("toy-ned")
    assert given("bad.pth") == "error: bad.pth is no number"
    assert given("crash.pth") == "error: cannot evaluate crash.pth: RuntimeError: out of order"
    assert "http://127.0.0.1:9/x.pth cannot be downloaded" in given("http://127.0.0.1:9/x.pth")
    assert "http://127.0.0.1:9/ names no file" in given("http://127.0.0.1:9/")
    assert not list((tmp_path / "torch").rglob("*.*"))


def test_without_the_data_it_is_said_how_to_get_them(grid, monkeypatch, tmp_path):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "elsewhere"))
    told = refused(grid, "--checkpoint", "good.pth", "--mechanism", "0110")
    assert "study data prepare toy-data" in told


def test_a_task_may_do_without(toy, tmp_path):
    grid = toy(GRID)
    (tmp_path / "good.pth").write_text("7")
    told = refused(grid, "--checkpoint", "good.pth", "--mechanism", "0110")
    assert told == "error: the task 'toy' does not evaluate checkpoints"
    told = refused(grid, "--checkpoint", "toy-net", "--mechanism", "0110")
    assert told == "error: no such file: toy-net"


@pytest.fixture
def server(tmp_path):
    """A web server on this machine; the paths that it was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            asked.append(self.path)

    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_a_url_is_downloaded_once_and_its_hash_compared(grid, server, tmp_path):
    folder, url, asked = server
    digest = hashlib.sha256(b"9").hexdigest()[:8]
    right, wrong = f"net-{digest}.pth", "net-0123abcd.pth"
    for name in (right, wrong):
        (folder / name).write_bytes(b"9")
    cell = ("--mechanism", "0110")
    for _ in range(2):
        answer = found(grid, "--checkpoint", f"{url}/{right}", *cell)
        assert answer["metrics"]["score"] == 0.9
    assert asked == [f"/{right}"]
    cache = tmp_path / "torch/hub/checkpoints"
    told = refused(grid, "--checkpoint", f"{url}/{wrong}", *cell)
    assert "invalid hash value" in told
    assert "HTTP Error 404" in refused(grid, "--checkpoint", f"{url}/missing.pth", *cell)
    assert [path.name for path in cache.rglob("*.pth")] == [right]


def test_a_published_name_brings_its_weights_and_its_value(grid, server, monkeypatch):
    folder, url, asked = server
    (folder / "toy-net.pth").write_bytes(b"7")
    monkeypatch.setenv("TOY_URL", f"{url}/toy-net.pth")
    told = refused(grid, "--checkpoint", "toy-net", "--mechanism", "none")
    assert told == "error: toy-net has attention"
    assert asked == []  # refused before the download
    answer = found(grid, "--checkpoint", "toy-net", "--mechanism", "0110")
    assert (answer["name"], answer["published"]) == ("toy-net", {"score": 0.75})
    assert answer["notes"] == ["the data set is a part of anything"]
    shown = study("evaluate", grid, "--checkpoint", "toy-net", "--mechanism", "1111",
                  "--sites", "a.b").stdout  # fmt: skip
    assert "published as toy-net" in shown
    assert "evaluated otherwise than published: sites: 1, here 2" in shown
    assert shown.split("score")[1].split()[:2] == ["0.7000", "0.750"]
    # By a file's or a URL's name it is known, too; the metrics of other data are not shown.
    assert found(grid, "--checkpoint", f"{url}/toy-net.pth", "--mechanism", "0110")["published"]
    strange = found(grid, "--checkpoint", "strange-net", "--mechanism", "0110")
    assert (strange["name"], strange["published"]) == ("strange-net", {})
