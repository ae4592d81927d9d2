"""
What all doubles of hosts share: a server on loopback, a repository, faults at any place.

A double keeps pull requests as its host does, answers in its host's shape, and holds every request
against the host's published description: what is wrong is answered 400 and kept in `complaints`.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.support.hosts.described import Description, Json

Answer = tuple[int, object]
TOKEN = "double-token-0123456789"  # noqa: S105 - of a double
FORK_ID = 4_711


@dataclass(kw_only=True)
class Pull:
    """One pull request of the double."""

    number: int
    title: str
    text: str
    head: str
    base: str
    state: str = "open"
    """open, merged or closed; each double tells it in its host's words."""
    draft: bool = False
    labels: list[str] = field(default_factory=list[str])
    reviewers: list[str] = field(default_factory=list[str])
    from_fork: bool = False


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request; names of headers are in lower case, `path` is below the root and encoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: object


@dataclass(kw_only=True)
class Fault:
    """What one request gets instead of, or after, what it asked for."""

    method: str
    """A regular expression."""
    path: str
    """A regular expression for the end of the path."""
    status: int = 0
    """0 cuts the connection without an answer."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b"{}"
    after: bool = False
    """The deed is done; only its answer is lost."""
    hold: Callable[[], None] | None = None
    """Called first, on the server's thread."""
    times: int = 1


class HostDouble:
    """
    The base of the doubles. Subclasses name their `root` and answer in `route`.

    `names` are users that may review, `label_names` labels that exist beforehand.
    """

    name = ""
    root = ""
    owner, repository = "octo-org", "hello-world"

    def __init__(self) -> None:
        self.token = TOKEN
        self.pulls: list[Pull] = []
        self.seen: list[Seen] = []
        self.complaints: list[str] = []
        self.faults: list[Fault] = []
        self.default_branch = "trunk"
        self.branches = {"trunk", "release", "codeforge/1", "codeforge/2"}
        self.users = {"alice": 11, "bob": 12}
        self.label_names = {"bug": 1, "codeforge": 2}
        self.takes_drafts = True
        self.renamed_from: str | None = None
        """The owner's old name, whose URLs still lead here."""
        self.on_request: Callable[[], object] | None = None
        """Called for every request, before the deed, on the server's threads."""
        self.port = 0
        self._description = Description(self.name)
        self._lock = threading.Lock()
        self._idle = threading.Condition()
        self._busy = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.repository}"

    def clone_url(self) -> str:
        return f"http://{self.host}/{self.full_name}.git"

    def web_url(self, path: str) -> str:
        return f"http://{self.host}/{self.full_name}/{path}"

    def open(
        self,
        head: str = "codeforge/1",
        base: str = "trunk",
        *,
        title: str = "before",
        text: str = "",
        draft: bool = False,
        state: str = "open",
        from_fork: bool = False,
    ) -> Pull:
        """Put a pull request there."""
        pull = Pull(
            number=len(self.pulls) + 1,
            title=title,
            text=text,
            head=head,
            base=base,
            draft=draft,
            state=state,
            from_fork=from_fork,
        )
        self.pulls.append(pull)
        return pull

    def pull(self, number: int) -> Pull | None:
        return next((pull for pull in self.pulls if pull.number == number), None)

    def requests(self, method: str) -> list[str]:
        """The paths asked for by *method*, in order."""
        return [seen.path for seen in self.seen if seen.method == method]

    def wait_until_idle(self) -> None:
        """Return when every request that came is served, also those whose client is gone."""
        with self._idle:
            assert self._idle.wait_for(lambda: self._busy == 0, timeout=60)

    def answer(self, seen: Seen) -> tuple[Answer, Fault | None]:
        """What *seen* gets; on the server's threads."""
        with self._idle:
            self._busy += 1
        try:
            return self._answer(seen)
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def _answer(self, seen: Seen) -> tuple[Answer, Fault | None]:
        with self._lock:
            self.seen.append(seen)
            fault = self._fault(seen)
        if self.on_request:
            self.on_request()
        if fault and fault.hold:
            fault.hold()
        if fault and not fault.after and (fault.status or not fault.hold):
            return (fault.status, None), fault
        with self._lock:
            answer = self._checked(seen)
        return answer, fault if fault and fault.after else None

    def is_authorized(self, seen: Seen) -> bool:
        """Whether the request brings the token as the host wants it."""
        return seen.headers.get("authorization") == f"Bearer {self.token}"

    def route(self, seen: Seen) -> Answer:
        """The host itself."""
        raise NotImplementedError

    def unauthorized(self) -> Answer:
        """What a wrong token gets."""
        return 401, {"message": "Bad credentials"}

    def headers(self, seen: Seen) -> Mapping[str, str]:
        """Headers of the answer to *seen*."""
        return {}

    def _checked(self, seen: Seen) -> Answer:
        if not self.is_authorized(seen):
            return self.unauthorized()
        faults = self._description.complaints(seen.method, seen.path, seen.query, seen.body)
        if not faults:
            status, body = self.route(seen)
            if status >= 300:
                return status, body
            faults = self._description.answer_faults(seen.method, seen.path, body)
            if not faults:
                return status, body
        self.complaints += [f"{seen.method} {seen.path}: {fault}" for fault in faults]
        return 400, {"message": "; ".join(faults)}

    def _fault(self, seen: Seen) -> Fault | None:
        for fault in self.faults:
            if re.fullmatch(fault.method, seen.method) and re.search(
                f"(?:{fault.path})$", seen.path
            ):
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None


@contextmanager
def serving(double: HostDouble) -> Generator[None]:
    """Let *double* listen on loopback until the end of the block."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.double = double
    double.port = int(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def members(body: object) -> Json:
    """A body that the description has checked already."""
    return cast("Json", body)


def words(value: object) -> list[str]:
    """A list of strings that the description has checked already."""
    return [str(item) for item in cast("list[object]", value)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    double: HostDouble

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed; let everything else be seen."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # the base class's own types differ


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for each other's acknowledgement

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def _serve(self) -> None:
        assert isinstance(self.server, _Server)
        double = self.server.double
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        if not url.path.startswith(f"{double.root}/"):
            self._send(404, {}, b'{"message": "Not Found"}')
            return
        seen = Seen(
            method=self.command,
            path=url.path.removeprefix(double.root),
            query=dict(parse_qsl(url.query, strict_parsing=bool(url.query))),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=cast("object", json.loads(content)) if content else None,
        )
        (status, body), fault = double.answer(seen)
        if fault is None:
            self._send(status, double.headers(seen), json.dumps(body).encode())
        elif fault.status:
            self._send(fault.status, fault.headers, fault.body)
        else:
            self.close_connection = True

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        try:
            self.send_response_only(status)
            own = {"content-type": "application/json", "date": self.date_time_string()}
            for name, value in {**own, **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # the client was killed


def parts(path: str) -> list[str]:
    """The decoded parts of *path*."""
    return [unquote(part) for part in path.strip("/").split("/")]
