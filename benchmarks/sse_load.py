"""
A program that watches tasks over many SSE connections and times every event.

An event carries the monotonic time of its making, which all processes of a machine share. The
order and the answers are lines of JSON: `ready` once every stream said `connected`, then what was
seen once every stream had its events, or when nothing came for 10 s.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any, cast

import uvloop

from benchmarks.table import percentile

_SENT_AT = re.compile(rb'"text":"at (\d+\.\d+)"')
_FRAME_END = b"\n\n"
_CONNECTS_AT_ONCE = 50
_SILENCE_SECONDS = 10


class _Load:
    """All streams of one order."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.left = int(order["viewers"])
        self.seconds: list[float] = []
        self.expected = int(order["viewers"]) * int(order["events"])
        self.connected = asyncio.Event()
        self.heard_at = time.monotonic()

    def request(self, number: int) -> bytes:
        """The viewers share the tasks evenly."""
        task = self.order["tasks"][number % len(self.order["tasks"])]
        return (
            f"GET /api/v1/tasks/{task}/stream HTTP/1.1\r\nHost: {self.order['host']}\r\n"
            f"Authorization: Bearer {self.order['token']}\r\n\r\n"
        ).encode()


class _Stream(asyncio.Protocol):
    """One viewer."""

    def __init__(self, load: _Load, request: bytes) -> None:
        self._load = load
        self._request = request
        self._rest = b""
        self._is_connected = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now = self._load.heard_at = time.monotonic()
        frames, _, self._rest = (self._rest + data).rpartition(_FRAME_END)
        for found in _SENT_AT.finditer(frames):
            self._load.seconds.append(now - float(found[1]))
        if not self._is_connected and b"event: connected" in frames:
            self._is_connected = True
            self._load.left -= 1
            if not self._load.left:
                self._load.connected.set()


async def _run(order: dict[str, Any]) -> None:
    load = _Load(order)
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    gate = asyncio.Semaphore(_CONNECTS_AT_ONCE)

    async def connect(number: int) -> asyncio.BaseTransport:
        async with gate:
            transport, _ = await loop.create_connection(
                lambda: _Stream(load, load.request(number)), order["host"], order["port"]
            )
            return transport

    transports = await asyncio.gather(*map(connect, range(load.left)))
    await load.connected.wait()
    _say({"ready": True, "seconds": time.monotonic() - began})
    cpu, load.heard_at = time.process_time(), time.monotonic()
    began = load.heard_at
    while len(load.seconds) < load.expected:
        if time.monotonic() - load.heard_at > _SILENCE_SECONDS:
            break
        await asyncio.sleep(0.05)
    seconds = max(time.monotonic() - began, 0.001)
    share = (time.process_time() - cpu) / seconds
    _say(
        {
            "received": len(load.seconds),
            "expected": load.expected,
            "seconds": seconds,
            "p50": percentile(load.seconds, 50) if load.seconds else 0,
            "p99": percentile(load.seconds, 99) if load.seconds else 0,
            "max": max(load.seconds, default=0),
            "cpu_share": share,
        }
    )
    for transport in transports:
        transport.close()


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    """Obey each line of stdin until its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin:
            runner.run(_run(json.loads(line)))


if __name__ == "__main__":
    main()
