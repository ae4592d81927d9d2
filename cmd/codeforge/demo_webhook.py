"""
A webhook receiver as a user would write it: the standard library, and both signatures checked.

It listens on a free port of loopback. What is not signed by us is refused and never seen.
"""

from __future__ import annotations

import base64
import hmac
import json
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

_TOLERANCE_SECONDS = 300  # of the sender's clock; an older call may be a replay
_LONGEST_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A webhook whose signatures were right."""

    event: str
    delivery: str
    body: dict[str, Any]


class Receiver:
    """Receives while the context lasts."""

    def __init__(self, secret: str) -> None:
        calls: queue.SimpleQueue[Call] = queue.SimpleQueue()

        class Handler(BaseHTTPRequestHandler):
            """Answers 204 to what is ours, 401 to everything else."""

            timeout = 10

            def do_POST(self) -> None:
                length = min(int(self.headers.get("Content-Length", 0)), _LONGEST_BODY_BYTES)
                body = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                verified = is_signed(secret, headers, body, now=time.time())
                if verified:
                    calls.put(_call(headers, body))
                self.send_response(204 if verified else 401)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name
                """Nothing: the demo says itself what came."""

        self._calls = calls
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def wait(self, *, timeout_seconds: float) -> Call | None:
        """The next call, None when none comes in time."""
        try:
            return self._calls.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, *, now: float) -> bool:
    """
    Whether both signatures are right and the time is *now* (seconds since 1970), within 5 minutes.

    Names of *headers* are in lower case.
    One of them is enough for a receiver: `webhook-signature` where replays matter.
    """
    over_body = "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()
    if not hmac.compare_digest(over_body, headers.get("x-signature-256", "")):
        return False
    sent_at = headers.get("webhook-timestamp", "")
    signed = f"{headers.get('webhook-id', '')}.{sent_at}.".encode() + body
    digest = hmac.digest(_standard_key(secret), signed, "sha256")
    expected = "v1," + base64.b64encode(digest).decode()
    if not hmac.compare_digest(expected, headers.get("webhook-signature", "")):
        return False
    return abs(now - int(sent_at)) <= _TOLERANCE_SECONDS


def _standard_key(secret: str) -> bytes:
    """As Standard Webhooks says: `whsec_` and base64; any other secret is its own bytes."""
    name, prefix, spelled = secret.partition("whsec_")
    return base64.b64decode(spelled) if prefix and not name else secret.encode()


def _call(headers: Mapping[str, str], body: bytes) -> Call:
    return Call(
        event=headers.get("x-codeforge-event", ""),
        delivery=headers.get("x-codeforge-delivery", ""),
        body=json.loads(body),
    )
