"""
A program that sends one POST again and again over keep-alive connections, and times the answers.

In a process of its own, and written to cost as little as Python can, so that the server is what is
measured; it tells its own processor time, by which one sees whether that was so. It reads its order
from stdin and prints what it saw, both one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, cast

import uvloop

from benchmarks.table import percentile

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class _Load:
    """All connections of one order."""

    def __init__(self, order: dict[str, Any]) -> None:
        body = json.dumps(order["body"]).encode()
        head = (
            f"POST {order['path']} HTTP/1.1\r\nHost: {order['host']}\r\n"
            f"Authorization: Bearer {order['token']}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.request = head.encode() + body
        self.seconds: list[float] = []
        self.refused = 0
        self.until = time.monotonic() + float(order["seconds"])
        self.open = int(order["connections"])
        self.ended = asyncio.Event()


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last is whole, until the time is over."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._answer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is registered as none
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head_bytes = self._answer.find(_HEAD_END)
        if head_bytes < 0:
            return
        length_at = self._answer.index(_LENGTH) + len(_LENGTH)
        length = int(self._answer[length_at : self._answer.index(b"\r", length_at)])
        if len(self._answer) < head_bytes + len(_HEAD_END) + length:
            return
        now = time.monotonic()
        self._load.seconds.append(now - self._sent_at)
        self._load.refused += self._answer[9:12] != b"201"
        if now < self._load.until:
            self._send()
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.open -= 1
        if not self._load.open:
            self._load.ended.set()

    def _send(self) -> None:
        self._answer = b""
        self._sent_at = time.monotonic()
        if self._transport is not None:
            self._transport.write(self._load.request)


async def _run(order: dict[str, Any]) -> dict[str, float]:
    load = _Load(order)
    began, cpu = time.monotonic(), time.process_time()
    for _ in range(load.open):
        await asyncio.get_running_loop().create_connection(
            lambda: _Connection(load), order["host"], order["port"]
        )
    await load.ended.wait()
    seconds = time.monotonic() - began
    return {
        "answers": len(load.seconds),
        "refused": load.refused,
        "seconds": seconds,
        "p50": percentile(load.seconds, 50),
        "p99": percentile(load.seconds, 99),
        "cpu_share": (time.process_time() - cpu) / seconds,
    }


def main() -> None:
    """Obey each line of stdin until its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin:
            print(json.dumps(runner.run(_run(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
