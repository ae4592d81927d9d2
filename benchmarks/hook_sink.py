"""
A receiver of webhooks that does nothing: it answers 204 and prints when each request had come.

The first line of JSON tells its ports, one for each destination; then one line for each request.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import uvloop

from codeforge.parent import end_with_parent

_ANSWER = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
_LENGTH = b"content-length:"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            _, _, behind = head.lower().partition(_LENGTH)
            await reader.readexactly(int(behind.split(b"\r\n", 1)[0]))
            print(json.dumps({"at": time.monotonic()}), flush=True)
            writer.write(_ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _run(count: int) -> None:
    servers = [await asyncio.start_server(_serve, "127.0.0.1", 0) for _ in range(count)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps({"ports": ports}), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """`python -m benchmarks.hook_sink <destinations>`."""
    end_with_parent(os.environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(int(sys.argv[1])))


if __name__ == "__main__":
    main()
