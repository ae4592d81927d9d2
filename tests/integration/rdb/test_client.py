"""The clients against a real server that dies, hangs, fills up and fails over."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import traceback
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis
import uvloop
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from internal.errors import Unavailable
from internal.rdb.client import connect, connect_sync, unavailable
from internal.rdb.embedded import EmbeddedRedis
from internal.rdb.program import find_server, launch_command
from tests.support.redis import RedisServer
from tests.support.waiting import until


async def test_commands_survive_a_restart_of_the_server(tmp_path: Path) -> None:
    """
    A client whose connections were cut connects again by itself.
    """
    async with EmbeddedRedis(tmp_path) as server, connect(server.url, role="command") as client:
        await client.set("key", "value")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.wait_ended()
        with pytest.raises(Unavailable, match="cannot be reached"), unavailable():
            await client.get("key")

        await server.start()

        assert await client.get("key") == "value"


def test_a_connection_reset_at_the_moment_of_a_send_is_repeated_on_another(
    redis_server: RedisServer,
) -> None:
    """
    uvloop, on which every process runs, says RuntimeError then; it is an outage like any other.
    """

    async def reset_and_ask() -> str:
        async with connect(redis_server.url, role="command", max_connections=1) as client:
            await client.ping()
            pool = cast(Any, client.connection_pool)
            connection = await pool.get_connection()
            connection._writer.transport.abort()
            await asyncio.sleep(0)
            with pytest.raises(redis.ConnectionError):
                await connection.send_command("PING")
            await pool.release(connection)
            return str(await client.ping())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(reset_and_ask()) == "True"


async def test_hanging_server_is_unavailable_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A stopped server accepts connections and answers nothing: a command gives up within its limits.
    """
    async with EmbeddedRedis(tmp_path) as server, connect(server.url, role="command") as patient:
        monkeypatch.setattr("internal.rdb.client._COMMAND_SECONDS", 0.1)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            async with connect(server.url, role="command") as client:
                with pytest.raises(Unavailable, match="cannot be reached"), unavailable():
                    await client.get("key")
            with pytest.raises(redis.TimeoutError):
                connect_sync(server.url, timeout_seconds=0.1).ping()
        finally:
            os.kill(server.pid, signal.SIGCONT)

        assert await patient.ping()


async def test_blocking_read_waits_for_its_own_timeout(redis_server: RedisServer) -> None:
    """
    A blocking command's timeout decides, not the socket's; nothing came, so nothing is returned.
    """
    async with connect(redis_server.url, role="blocking", max_connections=1) as client:
        assert await client.blpop(["bell"], timeout=0.2) is None


async def test_cancelled_blocking_read_leaves_no_reply_behind(
    redis_client: Redis, redis_server: RedisServer
) -> None:
    """
    The next command on the one connection gets its own answer, not that of the cancelled one.
    """
    async with connect(redis_server.url, role="blocking", max_connections=1) as client:
        reading = asyncio.ensure_future(client.blpop(["bell"], timeout=5))
        await until("the read waits", lambda: _blocked_clients(redis_client))
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await redis_client.rpush("bell", "ring")

        answer = await client.echo("mine")

    assert answer == "mine"
    await redis_client.delete("bell")


async def _blocked_clients(client: Redis) -> int:
    return int((await client.info("clients"))["blocked_clients"])


async def test_subscription_waits_as_long_as_asked_and_shows_a_cut(
    redis_client: Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A quiet channel is no error, past the socket's timeout too; a cut is one, and a confirmation of
    the new subscription follows it, so that the reader knows of the gap.
    """
    monkeypatch.setattr("internal.rdb.client._COMMAND_SECONDS", 1)
    async with connect(redis_server.url, role="pubsub") as client, client.pubsub() as reader:
        await reader.subscribe("channel")
        confirmed = await _message_type(reader, seconds=30)
        quiet = await _message_type(reader, seconds=1.2)

        await redis_client.client_kill_filter(_type="pubsub")
        with pytest.raises(Unavailable), unavailable():
            await _message_type(reader, seconds=30)
        again = await _message_type(reader, seconds=30)

    assert (confirmed, quiet, again) == ("subscribe", None, "subscribe")


async def _message_type(reader: PubSub, *, seconds: float) -> str | None:
    message = cast("dict[str, str] | None", await reader.get_message(timeout=seconds))
    return message["type"] if message is not None else None


async def test_fault_a21_commands_wait_for_a_free_connection(redis_server: RedisServer) -> None:
    """
    More tasks than connections take turns instead of failing.
    """
    async with connect(redis_server.url, role="command", max_connections=2) as client:
        answers = await asyncio.gather(*(client.echo(str(number)) for number in range(50)))

    assert answers == [str(number) for number in range(50)]


async def test_full_memory_is_unavailable_and_says_so(redis_client: Redis) -> None:
    """
    A refusal for want of memory is the server's state, not the command's fault; a script's too.
    """
    await redis_client.config_set("maxmemory", "1")
    try:
        with pytest.raises(Unavailable, match="out of memory"), unavailable():
            await redis_client.set("key", "value")
        with pytest.raises(Unavailable, match="out of memory"), unavailable():
            await redis_client.eval("return redis.call('SET', KEYS[1], 'value')", 1, "key")
    finally:
        await redis_client.config_set("maxmemory", "0")


async def test_a_wait_for_replicas_that_a_failover_ends_is_an_outage(tmp_path: Path) -> None:
    """
    A master that becomes a replica says UNBLOCKED to those who wait; the caller is to repeat.
    """
    async with EmbeddedRedis(tmp_path) as server, connect(server.url, role="command") as client:
        async with connect(server.url, role="blocking") as waiting:
            await waiting.set("key", "value")
            told = asyncio.ensure_future(waiting.wait(1, 5000))
            await until("it waits", lambda: _blocked_clients(client))
            await client.replicaof("127.0.0.1", str(_free_port()))
            with pytest.raises(Unavailable, match="failing over"), unavailable():
                await told
        await client.replicaof("NO", "ONE")


async def test_error_of_a_command_passes_as_it_is(redis_client: Redis) -> None:
    """
    What is wrong with the command is a bug here, not an outage.
    """
    with pytest.raises(redis.ResponseError, match="compiling"), unavailable():
        await redis_client.eval("nonsense", 0)


@pytest.mark.parametrize("role", ["command", "blocking"])
async def test_wrong_password_is_named_without_being_shown(tmp_path: Path, role: str) -> None:
    """
    The operator learns that redis.url's credentials are refused; the password stays out of it.
    """
    async with EmbeddedRedis(tmp_path):
        url = f"unix://:s3cret-word@{tmp_path}/redis/redis.sock"
        client = connect(url, role="command" if role == "command" else "blocking")
        with pytest.raises(Unavailable, match="refuses the user") as raised, unavailable():
            await client.get("key")
        await client.aclose()

    assert "s3cret-word" not in "".join(traceback.format_exception(raised.value))


async def test_bytes_come_back_as_bytes_when_asked(redis_server: RedisServer) -> None:
    """
    Compressed values are no text.
    """
    async with connect(redis_server.url, role="command", decode_responses=False) as client:
        assert await client.echo(b"\xff") == b"\xff"


def test_synchronous_client_decodes_and_has_one_connection(redis_server: RedisServer) -> None:
    """
    A thread has its own client, apart from the event loop.
    """
    with connect_sync(redis_server.url) as client:
        assert client.echo("mine") == "mine"


@pytest.fixture
async def sentinel_url(tmp_path: Path) -> AsyncIterator[str]:
    """A master with a password and one sentinel that watches it."""
    master, sentinel = _free_port(), _free_port()
    watch = f"sentinel monitor main 127.0.0.1 {master} 1\nsentinel auth-pass main word\n"
    async with (
        _server(_settings(tmp_path / "master", f'port {master}\nrequirepass word\nsave ""\n')),
        _server(_settings(tmp_path / "sentinel", f"port {sentinel}\n{watch}"), "--sentinel"),
    ):
        await _await_answer(f"redis://:word@127.0.0.1:{master}")
        await _await_answer(f"redis://127.0.0.1:{sentinel}")
        yield f"redis+sentinel://:word@127.0.0.1:{sentinel}/main/0"


def _settings(path: Path, text: str) -> str:
    path.write_text(f'{text}bind 127.0.0.1\ndir "{path.parent}"\n', encoding="utf-8")
    return str(path)


@contextlib.asynccontextmanager
async def _server(settings: str, *options: str) -> AsyncGenerator[None]:
    process = await asyncio.create_subprocess_exec(
        *launch_command(find_server())[:-1],
        settings,
        *options,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def _await_answer(url: str) -> None:
    async with connect(url, role="blocking") as client:
        await until("the server answers", lambda: _answers(client))


async def _answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except redis.ConnectionError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_sentinel_leads_to_the_master(sentinel_url: str) -> None:
    """
    Both kinds of client find the master through the sentinel and pass its password.
    """
    async with connect(sentinel_url, role="command", max_connections=2) as client:
        answers = await asyncio.gather(*(client.echo(str(number)) for number in range(8)))
        role = await client.role()
    with connect_sync(sentinel_url) as thread_client:
        answer = thread_client.echo("mine")

    assert answers == [str(number) for number in range(8)]
    assert role[0] == "master"
    assert answer == "mine"
