"""Runs that start from pretrained weights: what is said without them, fetched, and recorded."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import subprocess
import sys
import threading

import pytest

from study.runs.folder import iter_runs

from .conftest import study

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FILE = f"net-{DIGEST[:8]}.pth"
NO_NETWORK = f"http://127.0.0.1:9/{FILE}"


@pytest.fixture
def grid(toy, tmp_path, monkeypatch):
    """A function that writes a grid whose two runs start from what a URL stands for."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return lambda url: toy(
        f"task: toy\nrecipe: {{pretrained: '{url}'}}\nproduct: {{mechanism: [none, 1111]}}\n"
    )


@pytest.fixture
def url(tmp_path):
    """The URL of the file, on a server of this machine."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / FILE).write_bytes(CONTENT)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{FILE}"
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "torch/hub/checkpoints"


def test_without_a_network_it_is_said_what_belongs_where_before_anything_runs(
    grid, cache, tmp_path
):
    path = grid(NO_NETWORK)
    way_out = (
        f"Where there is a network, `study data weights {path}` puts it there; or fetch"
        f" {NO_NETWORK} yourself and put it into {cache} (TORCH_HOME names another place)"
    )
    done = study("plan", path, "--no-cost")
    assert done.returncode == 0
    assert f"weights {NO_NETWORK}: {FILE} is not in {cache}. {way_out}\n" in done.stdout
    (line,) = json.loads(study("plan", path, "--no-cost", "--json").stdout)["weights"]
    assert line.endswith(way_out)
    for command in (("run",), ("submit", "--cluster", "local"), ("data", "weights")):
        done = study(*command, path)
        assert done.returncode == 2, command
        assert f"{NO_NETWORK} cannot be downloaded into {cache}: Connection ref" in done.stderr
        assert done.stderr.endswith(f"{way_out}\n")
    assert not list((tmp_path / "runs").glob("*"))
    assert not list(cache.iterdir())
    done = study("run", path, "--smoke", "--runs", tmp_path / "smoke")
    assert done.returncode == 0  # its form starts from none; it says what the real run lacks
    assert f"without --smoke: weights {NO_NETWORK}: {FILE} is not in {cache}. {way_out}\n" in (
        done.stdout
    )


def test_run_fetches_them_and_their_hash_is_recorded(grid, url, cache):
    path = grid(url)
    done = study("run", path)
    assert done.returncode == 0, done.stderr
    assert f"fetching {url} into {cache}" in done.stdout
    recorded = {url: {"file": FILE, "sha256": DIGEST}}
    for folder in iter_runs(path.parent / "runs"):
        assert folder.provenance["weights"] == recorded
        shown = study("inspect", folder.path.name, "--full").stdout
        assert f"weights    {url}: {FILE}, SHA-256 {DIGEST}" in shown
    assert "fetching" not in study("data", "weights", path).stdout
    assert "weights" not in study("plan", path, "--no-cost").stdout
    # A grid whose runs are complete needs them no more.
    (cache / FILE).unlink()
    assert "weights" not in study("plan", path, "--no-cost").stdout
    assert "nothing to do" in study("run", path).stdout


def test_a_wrong_file_is_refused_before_anything_runs(grid, cache, tmp_path):
    path = grid(NO_NETWORK)
    cache.mkdir(parents=True)
    (cache / FILE).write_bytes(CONTENT[:-1])  # as a copy that was cut short
    told = f"{cache / FILE} is not the file that its name says: its SHA-256 begins with"
    assert told in study("plan", path, "--no-cost").stdout
    for command in (("run",), ("submit", "--cluster", "local"), ("data", "weights")):
        done = study(*command, path)
        assert (done.returncode, told in done.stderr) == (2, True), command
    assert not list((tmp_path / "runs").glob("*"))
    (cache / FILE).write_bytes(CONTENT)
    assert study("run", path).returncode == 0


def test_a_worker_without_the_file_says_what_is_missing(grid, cache, tmp_path):
    """A compute node that sees another home than the machine that submitted."""
    path = grid(NO_NETWORK)
    cache.mkdir(parents=True)
    (cache / FILE).write_bytes(CONTENT)
    assert study("run", path).returncode == 0
    folder = next(iter_runs(tmp_path / "runs"))
    (folder.path / "result.json").unlink()
    (folder.path / "attempts").rename(tmp_path / "attempts")
    (cache / FILE).unlink()
    done = subprocess.run(
        [sys.executable, "-m", "study.worker", folder.path], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"{NO_NETWORK} cannot be downloaded into {cache}: Connection refused" in done.stderr
    assert f"put it into {cache}" in folder.newest.exit["error"]


def test_a_file_of_the_users_own_must_be_there(grid, tmp_path):
    own = tmp_path / "own.pth"
    path, told = grid(own), f"weights {own}: own.pth is not in {tmp_path}\n"
    assert told in study("plan", path, "--no-cost").stdout
    done = study("run", path)
    assert (done.returncode, done.stderr) == (2, f"error: {told}")
    own.write_bytes(CONTENT)
    assert study("run", path).returncode == 0
    (folder, _) = iter_runs(tmp_path / "runs")
    assert folder.provenance["weights"][str(own)]["sha256"] == DIGEST


def test_an_unknown_name_is_refused_with_the_nearest(grid):
    done = study("plan", grid("torchvision://resnet5"), "--no-cost")
    assert done.returncode == 2
    assert "no such weights; did you mean 'resnet50'?" in done.stderr


def test_doctor_names_the_files_of_the_full_scale_grids(tmp_path, monkeypatch):
    from study.commands.checks import weights_checks

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = {check.what: check for check in weights_checks()}
    assert [*found] == [
        *(f"weights open-mmlab://resnet{depth}_v1c" for depth in (50, 18)),
        *(f"weights torchvision://resnet{depth}" for depth in (101, 50, 18)),
    ]
    check = found["weights torchvision://resnet50"]
    assert check.found == f"resnet50-0676ba61.pth is not in {tmp_path}/hub/checkpoints"
    assert check.remedy == (
        "study data weights grids/coco/deformable.yaml, or put"
        " https://download.pytorch.org/models/resnet50-0676ba61.pth there yourself"
    )
    assert check.optional
