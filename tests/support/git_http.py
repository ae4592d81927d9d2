"""
Git over smart HTTP with basic authentication, on loopback: `git http-backend` behind the standard
library.

Repositories below one root are served; with a token every request must bring it as its password.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import shutil
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

_GIT = shutil.which("git") or "git"

ServerT = TypeVar("ServerT", bound="GitHttpServer")


class GitHttpServer(ThreadingHTTPServer):
    """Serves the repositories below *root*; `status` other than None is answered to everything."""

    daemon_threads = True

    def __init__(
        self, root: Path, token: str | None, handler: type[GitHandler] | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), handler or GitHandler)
        self.root = root
        self.token = token
        self.status: int | None = None
        self.packs_may_go = threading.Event()
        """Cleared, requests for a pack are held back until it is set again."""
        self.packs_may_go.set()
        self.requests: list[str] = []
        """Method and path of every request, in order."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, repository: str) -> str:
        return f"http://127.0.0.1:{self.port}/{repository}"


@contextmanager
def git_http_server(root: Path, *, token: str | None = None) -> Generator[GitHttpServer]:
    """Serve *root* until the end of the block."""
    with serving(GitHttpServer(root, token)) as server:
        yield server


@contextmanager
def serving(server: ServerT) -> Generator[ServerT]:
    """Let *server* serve until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.packs_may_go.set()
        server.shutdown()
        thread.join()
        server.server_close()


class GitHandler(BaseHTTPRequestHandler):
    """Answers git's requests; a subclass may look at a request first."""

    protocol_version = "HTTP/1.1"

    @property
    def git_server(self) -> GitHttpServer:
        assert isinstance(self.server, GitHttpServer)
        return self.server

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def serve(self) -> None:
        """Answer one request."""
        body = self.body()
        self.git_server.requests.append(f"{self.command} {self.path}")
        if b"command=fetch" in body:
            self.git_server.packs_may_go.wait(60)
        if self.git_server.status is not None:
            self.answer(self.git_server.status, [], b"")
        elif not self._is_allowed():
            self.answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
        else:
            self.answer(*self._backend(body))

    def _is_allowed(self) -> bool:
        if self.git_server.token is None:
            return True
        kind, _, value = (self.headers.get("authorization") or "").partition(" ")
        try:
            password = base64.b64decode(value).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
        return kind.lower() == "basic" and hmac.compare_digest(password, self.git_server.token)

    def body(self) -> bytes:
        """What the request brought; to be asked once."""
        if "chunked" not in (self.headers.get("transfer-encoding") or ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""  # git sends bodies over 1 MB in chunks
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _backend(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        url = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_PROJECT_ROOT": str(self.git_server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": "test",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("content-type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding") or "",
            "GIT_PROTOCOL": self.headers.get("git-protocol") or "",
        }
        done = subprocess.run(
            [_GIT, "http-backend"],
            input=body,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        status, headers = 200, list[tuple[str, str]]()
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "status":
                status = int(value.split()[0])
            elif name:
                headers.append((name, value))
        return status, headers, rest

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send an answer; a client that was killed does not matter."""
        try:
            self._send(status, headers, body)
        except ConnectionError:
            self.close_connection = True  # the client was killed

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
