"""Show a report to a browser on this machine: loopback only, reading only, nothing but the report.

Other users of this machine can connect too, as to anything on a loopback port.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import http.server
import os
import shutil
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from analysis.report.pages import POLICY
from analysis.report.renew import Renewal
from study.errors import StudyError

__all__ = ["Server", "locate", "serve"]

ADDRESS = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost")
"""Host names that a request may use. A foreign page whose name was redirected to 127.0.0.1 sends
its own name (DNS rebinding), and gets nothing."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".yaml": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".pdf": "application/pdf",
}

HEADERS = {
    # Here its own files are 'self', so the scheme for pages on a disk is not needed.
    "Content-Security-Policy": POLICY.replace(" file:", "") + "; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Allow": "GET, HEAD",
}

SILENCE = 30.0  # seconds after which a connection that says nothing is closed


def locate(root: Path, target: str) -> Path | None:
    """Return the file below `root` that a request asks for; None if that is not allowed.

    Parameters
    ----------
    root: Path
        The report.
    target: str
        As in the request line: path, perhaps with a query, percent-encoded.
    """
    try:
        path = unquote_to_bytes(urlsplit(target).path).decode("utf-8")
    except ValueError:
        return None
    parts = path.split("/")[1:]
    if not path.startswith("/") or "\0" in path or "\\" in path:
        return None
    if parts[-1] == "":
        parts[-1] = "index.html"
    if any(part in ("", ".", "..") for part in parts):
        return None
    try:
        # A new report replaces the old one by renaming, so each request resolves afresh.
        top = root.resolve(strict=True)
        file = top.joinpath(*parts).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    if not file.is_relative_to(top) or not file.is_file() or file.suffix not in TYPES:
        return None
    return file


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD with files of the report."""

    server: Server
    server_version, sys_version = "study", ""
    protocol_version = "HTTP/1.1"
    timeout = SILENCE

    def do_GET(self) -> None:
        """Send a file."""
        if (file := self._open()) is not None:
            with file:
                shutil.copyfileobj(file, self.wfile)

    def do_HEAD(self) -> None:
        """Send what describes a file."""
        if (file := self._open()) is not None:
            file.close()

    def _open(self) -> BinaryIO | None:
        """Answer up to the body; return the body if there is one."""
        if not self._for_us():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return None
        path = locate(self.server.root, self.path)
        try:
            file = path.open("rb") if path else None
        except OSError:
            file = None
        if path is None or file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", TYPES[path.suffix])
        self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
        self.end_headers()
        return file

    def _for_us(self) -> bool:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1:
            return False
        # ssh may forward another port to this one, so the port proves nothing.
        return hosts[0].partition(":")[0].lower() in NAMES

    def end_headers(self) -> None:
        """Send the headers that every answer has."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with an error; methods other than GET and HEAD are refused."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            code = HTTPStatus.METHOD_NOT_ALLOWED
        self.close_connection = True
        super().send_error(code)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing, so that the address above stays in sight."""


class Server(http.server.ThreadingHTTPServer):
    """Serves the folder `root`; ``server_address`` has the port."""

    daemon_threads = True

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        super().__init__((ADDRESS, port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a browser that disconnected."""


def serve(root: Path, port: int, renewal: Renewal | None = None) -> None:
    """Serve until Ctrl-C, and keep the report up to date meanwhile if there is a `renewal`.

    Raises
    ------
    StudyError
        If the port is taken.
    """
    try:
        server = Server(root, port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is in use" if error.errno == errno.EADDRINUSE else "is not yours to take"
        raise StudyError(f"port {port} {why}; --port 0 takes any free one") from None
    with server, contextlib.suppress(KeyboardInterrupt):
        taken = server.server_address[1]
        print(f"http://{ADDRESS}:{taken}/")
        print("From another machine, run there and then open the same address:")
        print(f"  ssh -N -L {taken}:{ADDRESS}:{taken} {getpass.getuser()}@{socket.gethostname()}")
        print("Ctrl-C ends it.", flush=True)
        if renewal is not None:
            renewal.start()
        server.serve_forever()
