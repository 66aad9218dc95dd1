"""``study evaluate``, with a task whose checkpoints are numbers."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from study.runs.folder import iter_runs
from study.runs.items import read_items

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

    import os
    from typing import NamedTuple

    from plugins.contracts.job import CheckpointError
    from plugins.contracts.task import Evaluates, Published, Publishes

    class Entry(NamedTuple):
        name: str
        weights: str
        data: str
        metrics: dict

    class Index(Published):
        def find(self, word):
            url = os.environ.get("TOY_URL", "http://127.0.0.1:9/toy-net.pth")
            known = {"toy-net": "toy-data", "strange-net": "strange-data"}
            for name, data in known.items():
                if word in (name, name + ".pth"):
                    return Entry(name, url, data, {"score": 0.75})

        def names(self):
            return ["toy-net", "strange-net"]

        def check(self, job, entry):
            if not job.mechanism.parts:
                raise CheckpointError(f"{entry.name} has attention")

        def otherwise_evaluated(self, job, entry):
            return [] if len(job.sites) == 1 else ["sites: 1, here 2"]

    class Evaluated(Toy, Evaluates, Publishes):
        def published(self):
            return Index()

        def evaluate(self, job, checkpoint):
            import os, sys, time
            from plugins.contracts.job import CheckpointError
            from toytask.train import items

            assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
            print("a framework's greeting")
            text = checkpoint.read_text()
            if text in ("slow", "deaf"):
                (checkpoint.parent / "pid").write_text(str(os.getpid()))
                deadline = time.monotonic() + 60
                while time.monotonic() < deadline:
                    try:
                        time.sleep(60)
                    except BaseException:
                        if text == "slow":
                            raise
            if text == "killed":
                os.kill(os.getpid(), 9)
            if text == "noisy":
                os.write(1, b"what a library in C prints")
                text = "3"
            if text == "crash":
                print("the framework's last words", file=sys.stderr)
                raise RuntimeError("out of order")
            if not text.isdecimal():
                raise CheckpointError(f"{checkpoint.name} is no number")
            (job.folder / "scratch").write_text("anything")
            job.items(items(int(text) / 10, 4))
            return {"score": int(text) / 10, "sites": len(job.sites),
                    "hidden": float(os.environ.get("CUDA_VISIBLE_DEVICES") == "")}

    Toy = Evaluated
"""


@pytest.fixture
def grid(toy, tmp_path, monkeypatch):
    package = tmp_path / "site/toytask"
    with (package / "task.py").open("a") as file:
        file.write(textwrap.dedent(EVALUATE))
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
        "name": None, "published": {}, "notes": [], "trained": [],
        "metrics": {"score": 0.7, "sites": 2, "hidden": 1.0},
    }  # fmt: skip
    shown = study("evaluate", grid, "--checkpoint", tmp_path / "good.pth", "--mechanism", "none")
    assert shown.stdout.splitlines()[0].strip() == "none · toy-data"
    assert "score" in shown.stdout
    assert "0.70" in shown.stdout
    assert "published" not in shown.stdout
    changed = {path for path, time in everything(tmp_path).items() if before.get(path) != time}
    assert not {path for path in changed if "__pycache__" not in path.parts}


def test_what_the_metric_is_made_of_is_written_if_asked_for(grid, tmp_path):
    asked = ("--checkpoint", "good.pth", "--mechanism", "none", "--items")
    found(grid, *asked, "mine.npz")
    items = read_items(tmp_path / "mine.npz")
    assert len(items["item"]) == 4
    assert items["points"].mean() == pytest.approx(0.7)
    nowhere = refused(grid, *asked, "nowhere/mine.npz")
    assert "nowhere/mine.npz cannot be written: there is no folder" in nowhere
    task = tmp_path / "site/toytask/task.py"
    task.write_text(task.read_text().replace("Probes, CountsItems)", "Probes)"))
    told = "--items: the task 'toy' does not tell what its metric is made of"
    assert told in refused(grid, *asked, "other.npz")
    assert not (tmp_path / "other.npz").exists()


@pytest.mark.parametrize(
    ("number", "child"),
    [
        (signal.SIGINT, "slow"),
        (signal.SIGTERM, "slow"),
        (signal.SIGHUP, "slow"),
        (signal.SIGKILL, "slow"),
        (signal.SIGINT, "deaf"),
        (signal.SIGKILL, "deaf"),
    ],
)
def test_who_stops_it_stops_all_of_it(number, child, grid, tmp_path):
    """The signal goes to the command alone, not to what it has started."""
    (tmp_path / "checkpoint").write_text(child)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = ["evaluate", grid, "--mechanism", "0110", "--checkpoint", tmp_path / "checkpoint"]
    process = subprocess.Popen(
        [sys.executable, "-m", "study", *map(str, command)],
        preexec_fn=hearing,
        env=os.environ | {"TMPDIR": str(scratch)},
    )
    told = tmp_path / "pid"
    until(lambda: told.exists() and told.read_text(), 30)
    evaluating = psutil.Process(int(told.read_text()))
    assert list(scratch.iterdir())
    process.send_signal(number)
    assert process.wait(20)
    until(lambda: not evaluating.is_running() or evaluating.status() == "zombie", 20)
    assert child == "deaf" or not list(scratch.iterdir())


def hearing():
    """Whoever started the tests may have told them to ignore these, as nohup does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def until(true, seconds):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_a_library_prints_is_not_the_answer(grid, tmp_path):
    (tmp_path / "noisy").write_text("noisy")
    answer = found(grid, "--checkpoint", "noisy", "--mechanism", "0110")
    assert answer["metrics"]["score"] == 0.3


def test_a_folder_of_grids_stands_for_the_one_that_has_it(toy, grid, tmp_path):
    (tmp_path / "grids").mkdir()
    other = "task: toy\nrecipe: {{epochs: {}}}\nproduct: {{mechanism: [{}]}}\n"
    toy(other.format(4, '"0001"'), "grids/one.yaml")
    toy(other.format(5, '"0001", "0011"'), "grids/two.yaml")
    good = ("grids", "--checkpoint", "good.pth", "--mechanism")
    assert found(*good, "0011")["mechanism"] == "0011"
    assert "0001 is in several grids; name the file of one or two" in refused(*good, "0001")
    toy(other.format(4, '"0001"'), "grids/two.yaml")
    assert found(*good, "0001")["mechanism"] == "0001"
    (tmp_path / "empty").mkdir()
    assert "no grid file" in refused("empty", "--checkpoint", "good.pth")


def test_the_checkpoint_of_a_smoke_run_has_the_recipe_of_that(toy, grid, tmp_path):
    """The file is in the folder of the run, which says what it was trained as."""
    path = toy(GRID.replace("epochs: 2", "epochs: 3").replace('none, "0110"', '"0110"'))
    assert study("run", path, "--smoke", "--mechanism", "0110", "--runs", "made").returncode == 0
    (folder,) = iter_runs(tmp_path / "made")
    checkpoint = folder.path / "checkpoints/epoch_2.pth"
    (folder.path / "checkpoints/count").rename(checkpoint)
    assert checkpoint.read_text() == "2"
    asked = (path, "--checkpoint", checkpoint, "--mechanism", "0110")
    assert found(*asked, "--smoke")["trained"] == []
    assert found(*asked)["trained"] == ["recipe.epochs: 2 -> 3"]
    told = "trained with other values than the grid's: recipe.epochs: 2 -> 3"
    assert told in study("evaluate", *asked).stdout
    checkpoint.write_text("two")
    assert refused(*asked) == (
        "error: epoch_2.pth is no number. Its run is of the grid smoke/grid, and differs from what"
        " was asked for in recipe.epochs: 2 -> 3"
    )
    told = refused(path, "--checkpoint", folder.path, "--mechanism", "0110")
    assert told.endswith(f"is a folder; name a file in it, such as {checkpoint}")
    record = folder.run
    record["science"]["task"] = "translation"
    (folder.path / "run.json").write_text(json.dumps(record))
    assert refused(*asked) == (
        f"error: {checkpoint} is of a run of smoke/grid, which is translation, not toy"
    )
    (folder.path / "run.json").write_text("{")
    assert refused(*asked) == "error: epoch_2.pth is no number"


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

    assert given("") == ("error: --checkpoint is empty; give a file, a URL, or a published name")
    assert given("none.pth") == "error: no such file: none.pth"
    assert given("/dev/null") == "error: /dev/null is no ordinary file; write it to one first"
    assert given("~nobody-of-that-name/x.pth").startswith("error: ~nobody-of-that-name/x.pth can")
    assert "cannot be read: File name too long" in given("x" * 300)
    assert given("away/none") == "error: no such file: away/none"
    assert "is a folder; name a file in it" in given(tmp_path)
    assert "no published checkpoint 'toy-ned'; did you mean 'toy-net'?" in given("toy-ned")
    assert given("bad.pth") == "error: bad.pth is no number"
    assert given("crash.pth") == "error: cannot evaluate crash.pth: RuntimeError: out of order"
    (tmp_path / "killed").write_text("killed")
    assert given("killed") == (
        "error: cannot evaluate killed: its process was ended by SIGKILL, as Linux and"
        " schedulers do for want of memory"
    )
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
    assert told == "error: no such file: toy-net; the task knows no published checkpoints"


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
    assert f"its SHA-256 begins with {digest}, not with 0123abcd; try again" in told
    assert "HTTP Error 404" in refused(grid, "--checkpoint", f"{url}/missing.pth", *cell)
    assert [path.name for path in cache.rglob("*.*")] == [right]
    # What is there already, put there by hand or not, may have been cut.
    for file in (cache / right, tmp_path / right):
        file.write_bytes(b"")
        asked = file if file.parent == tmp_path else f"{url}/{right}"
        told = refused(grid, "--checkpoint", asked, *cell)
        assert f"{file} is not the file that its name says: its SHA-256 begins with e3b0" in told
        assert "delete it and fetch it again" in told


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
    assert shown.split("score")[1].split()[:2] == ["0.70", "0.75"]
    # By a file's or a URL's name it is known, too; the metrics of other data are not shown.
    assert found(grid, "--checkpoint", f"{url}/toy-net.pth", "--mechanism", "0110")["published"]
    strange = found(grid, "--checkpoint", "strange-net", "--mechanism", "0110")
    assert (strange["name"], strange["published"]) == ("strange-net", {})
