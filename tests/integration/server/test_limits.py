"""What a connection may cost that never says a whole request: bytes, seconds, a place."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from internal.server.protocol import Limits, Protocol
from internal.server.serve import listen, serve

LIMIT = 32 * 1024
START = b"GET / HTTP/1.1\r\nHost: x\r\n"
REQUEST = START + b"\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


class Hasty(Protocol):
    """A head has half a second."""

    limits = Limits(head_seconds=0.5)


class Narrow(Protocol):
    """Two connections are answered."""

    limits = Limits(max_connections=2)


async def count_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the number of bytes of the body."""
    del scope
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    text = str(size).encode()
    length = (b"content-length", str(len(text)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": text})


async def drip(scope: Scope, receive: Receive, send: Send) -> None:
    """A stream that ends with its client, as ours."""
    del scope
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await receive()


Connect = Callable[[], Awaitable["Client"]]


class Client:
    """A socket with limits on its waits."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        self._socket.close()

    async def send(self, sent: bytes) -> None:
        """Send all of it, or as much as the server takes."""
        try:
            async with asyncio.timeout(30):
                await self._loop.sock_sendall(self._socket, sent)
        except ConnectionError:
            return

    async def read(self, *, until: bytes = b"no such text") -> bytes:
        """What comes up to and with *until*, or up to the end of the connection."""
        got = b""
        async with asyncio.timeout(30):
            while until not in got:
                try:
                    piece = await self._loop.sock_recv(self._socket, 65536)
                except ConnectionError:
                    break
                if not piece:
                    break
                got += piece
        return got


@asynccontextmanager
async def serving(
    protocol: type[Protocol] = Protocol, app: ASGIApp = count_body
) -> AsyncGenerator[Connect]:
    """A function that opens a connection to a server of *protocol*."""
    listener = listen("127.0.0.1", 0)
    address = listener.getsockname()
    stop = asyncio.Event()
    running = asyncio.create_task(serve(app, listener, stop, grace_seconds=1, protocol=protocol))
    opened: list[Client] = []

    async def connect() -> Client:
        made = socket.socket()
        made.setblocking(False)
        opened.append(Client(made))
        await asyncio.get_running_loop().sock_connect(made, address)
        return opened[-1]

    try:
        yield connect
    finally:
        for client in opened:
            client.close()
        stop.set()
        await running


@pytest.fixture
async def client() -> AsyncGenerator[Client]:
    async with serving() as connect:
        yield await connect()


def refused(answer: bytes, status: int, error: str) -> None:
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"connection: close" in head.lower()
    body = json.loads(content)
    assert body["error"] == error
    assert body["message"]
    assert f"x-request-id: {body['request_id']}".encode() in head.lower()


@pytest.mark.parametrize(
    "sent",
    [
        START + b"A: " + b"a" * LIMIT,
        START + b"a" * LIMIT,
        START + b"A: a\r\n" * (LIMIT // 6),
        START + b"A: " + b"a" * LIMIT + b"\r\n\r\n",
        b"GET /" + b"a" * LIMIT,
        b"GET /?" + b"a" * LIMIT + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n" * (LIMIT // 2),
    ],
)
async def test_a_head_over_its_limit_is_refused(client: Client, sent: bytes) -> None:
    """
    431 in the one body and the end, whether it is one header, many, or no header at all.
    """
    await client.send(sent)

    refused(await client.read(), 431, "headers_too_large")


async def test_an_endless_header_ends_before_it_costs_anything(client: Client) -> None:
    """
    Of 40 MiB the server takes what the sockets hold and no more.
    """
    await client.send(START + b"A: " + b"a" * (40 * 1024 * 1024))

    answer = await client.read()

    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "endless",
    [
        b"0\r\n" + b"A: a\r\n" * LIMIT,
        b"0\r\nA: " + b"a" * 4 * LIMIT,
        b"5;" + b"a" * 4 * LIMIT,
    ],
)
async def test_what_stands_around_a_body_has_the_limit_too(client: Client, endless: bytes) -> None:
    """
    Trailers and extensions of a chunk are headers that come late; the connection just ends.
    """
    await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + endless)

    assert await client.read() == b""


async def test_a_head_just_under_its_limit_is_served(client: Client) -> None:
    """
    The limit is on the head, not on what follows it on the same connection.
    """
    padding = b"A: " + b"a" * (LIMIT - len(REQUEST) - 100) + b"\r\n\r\n"
    for _ in range(3):
        await client.send(START + padding)

        assert (await client.read(until=b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("size", [LIMIT, 5 * LIMIT + 1, 40 * LIMIT])
async def test_a_body_is_not_counted(client: Client, size: int) -> None:
    """
    It has a limit of its own; in one piece or in chunks, it arrives whole.
    """
    length = b"Content-Length: %d\r\n\r\n" % size
    chunk = b"400\r\n" + b"b" * 1024 + b"\r\n"
    whole = size // 1024
    chunks = b"Transfer-Encoding: chunked\r\n\r\n" + chunk * whole + b"0\r\n\r\n"

    await client.send(POST + length + b"b" * size)
    first = await client.read(until=b"\r\n\r\n%d" % size)
    await client.send(POST + chunks)
    second = await client.read(until=b"\r\n\r\n%d" % (whole * 1024))

    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 200 ")


async def test_many_requests_at_once_are_all_served(client: Client) -> None:
    """
    Pipelined heads are counted one by one.
    """
    await client.send(REQUEST * 2_000 + POST + b"Content-Length: 7\r\n\r\n1234567")

    assert (await client.read(until=b"\r\n\r\n7")).count(b"HTTP/1.1 200 ") == 2_001


async def test_no_http_at_all_is_answered_in_the_one_body(client: Client) -> None:
    """
    Also what never reaches the application has the one form of an error.
    """
    await client.send(b"\x16\x03\x01\x02\x00 TLS?\r\n\r\n")

    refused(await client.read(), 400, "bad_request")


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", START, START + b"A: a", b"G", REQUEST + START, REQUEST + b"\r\n"],
)
async def test_a_head_that_is_not_completed_in_time_ends_the_connection(sent: bytes) -> None:
    """
    On a new connection, and from the first byte that follows an answer.
    """
    async with serving(Hasty) as connect:
        client = await connect()
        if sent.startswith(REQUEST):
            await client.send(REQUEST)
            await client.read(until=b"\r\n\r\n0")

        await client.send(sent.removeprefix(REQUEST))

        assert await client.read() == b""


async def test_a_slow_drip_does_not_move_the_end_of_a_head() -> None:
    """
    The time counts from the start: another byte gives no more of it.
    """
    async with serving(Hasty) as connect:
        client = await connect()
        await client.send(START)
        end = asyncio.create_task(client.read())

        while not end.done():
            await client.send(b"A: a\r\n")
            await asyncio.sleep(0.05)

        assert end.result() == b""


async def test_the_time_of_a_head_is_no_time_of_a_request() -> None:
    """
    A stream, a slow body and an idle connection that is kept have limits of their own.
    """
    async with serving(Hasty) as connect, serving(Hasty, drip) as connect_stream:
        idle = await connect()
        await idle.send(REQUEST)
        await idle.read(until=b"\r\n\r\n0")
        slow = await connect()
        await slow.send(POST + b"Content-Length: 4\r\n\r\nab")
        stream = await connect_stream()
        await stream.send(REQUEST)
        await stream.read(until=b"begun")
        for _ in range(2):  # silent ones, whose end shows that the time has passed
            assert await (await connect()).read() == b""

        ended = asyncio.create_task(stream.read())
        await slow.send(b"cd")
        await idle.send(REQUEST)

        assert (await slow.read(until=b"\r\n\r\n4")).startswith(b"HTTP/1.1 200 ")
        assert (await idle.read(until=b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
        assert not ended.done()
        ended.cancel()


async def test_a_connection_too_many_is_told_to_come_back() -> None:
    """
    503 in the one body with Retry-After; a place that gets free is used again.
    """
    async with serving(Narrow) as connect:
        first, second, third = [await connect() for _ in range(3)]
        for kept in (first, second):
            await kept.send(REQUEST)
            assert (await kept.read(until=b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")

        await third.send(REQUEST)
        answer = await third.read()
        first.close()

        refused(answer, 503, "unavailable")
        assert b"retry-after: " in answer.lower()
        status = b""
        while not status.startswith(b"HTTP/1.1 200 "):  # until the server saw the end of the first
            late = await connect()
            await late.send(REQUEST)
            status = await late.read(until=b"\r\n\r\n")


def test_the_limits_leave_room_for_thousands_of_viewers() -> None:
    """
    Each viewer of a stream holds a connection.
    """
    assert Protocol.limits == Limits(head_bytes=LIMIT, head_seconds=15, max_connections=10_000)
