"""The server: only reading, only the report, only for this machine."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from analysis.report.serve import ADDRESS, Server, serve
from study.errors import StudyError


@pytest.fixture
def port(tmp_path):
    """Serve a small report beside a secret, and return the port."""
    root = tmp_path / "report"
    (root / "runs").mkdir(parents=True)
    (root / "index.html").write_text("<p>index")
    (root / "runs" / "a b+é.html").write_text("<p>run")
    (tmp_path / "secret.html").write_text("secret")
    (root / "link.html").symlink_to(tmp_path / "secret.html")
    (root / "up").symlink_to(tmp_path)
    (root / "pipe.html").write_text("x")
    server = Server(root, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def ask(port, target, method="GET", host=None):
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=10)
    connection.putrequest(method, target, skip_host=True)
    connection.putheader("Host", host or f"localhost:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_files_of_the_report_are_sent(port):
    for target in ("/", "/index.html", "/index.html?x#y"):
        answer, body = ask(port, target)
        assert (answer.status, body) == (200, b"<p>index")
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert ask(port, "/runs/a%20b%2B%C3%A9.html")[1] == b"<p>run"
    answer, body = ask(port, "/index.html", "HEAD")
    assert (answer.status, answer.headers["Content-Length"], body) == (200, "8", b"")


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/runs/../../secret.html",
        "/runs/..%2f..%2fsecret.html",
        "/..%5csecret.html",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/link.html",
        "/up/secret.html",
        "/up/report/index.html%00.html",
        "/runs",
        "/runs/",
        "/nothing.html",
        "/index.html/",
        "/%ff.html",
        "secret.html",
        "*",
    ],
)
def test_no_path_leaves_the_report(port, target):
    answer, body = ask(port, target)
    assert answer.status == 404
    assert b"secret" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_nothing_but_reading_is_allowed(port, method):
    answer, _ = ask(port, "/index.html", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "localhost.evil.example"])
def test_a_page_elsewhere_that_calls_this_server_its_own_gets_nothing(port, host):
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=10)
    connection.putrequest("GET", "/", skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    assert connection.getresponse().status == 421
    connection.close()


def test_every_answer_forbids_what_the_report_does_not_need(port):
    for target in ("/", "/nothing"):
        headers = ask(port, target)[0].headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "file:" not in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "Access-Control-Allow-Origin" not in headers


def test_only_loopback_is_bound(port):
    with Server(Path(), 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StudyError, match=f"port {port} is in use; --port 0"):
            serve(tmp_path, port)


def test_ctrl_c_ends_it_without_a_word_of_python(tmp_path):
    code = "import sys, pathlib; from analysis.report.serve import serve; "
    code += f"serve(pathlib.Path({str(tmp_path)!r}), 0)"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what it puts into the background deaf to Ctrl-C, these tests perhaps.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    told = [process.stdout.readline() for _ in range(4)]
    port = told[0].rsplit(":", 1)[1].strip("/\n")
    assert f"ssh -N -L {port}:127.0.0.1:{port}" in told[2]
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
