"""The embedded server, started and killed for real."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from internal.errors import Conflict, Unavailable
from internal.rdb.client import connect, unavailable
from internal.rdb.embedded import EmbeddedRedis
from tests.support.waiting import until

_PARENT = """
import asyncio, sys
from pathlib import Path
from internal.rdb.embedded import EmbeddedRedis
async def main():
    async with EmbeddedRedis(Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await server.wait_ended()
asyncio.run(main())
"""


async def test_server_writes_each_command_to_disk_and_never_evicts(tmp_path: Path) -> None:
    """
    What is acknowledged is on disk; a full memory refuses; small streams stay small.
    """
    async with EmbeddedRedis(tmp_path) as server, connect(server.url, role="command") as client:
        settings = await client.config_get()

    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["stream-node-max-bytes"] == "512"
    assert settings["port"] == "0"
    assert int(settings["maxmemory"] or 0) > 0


async def test_only_the_owner_reaches_the_server(tmp_path: Path) -> None:
    """
    The directory and its files are private, and the socket wants the password.
    """
    directory = tmp_path / "redis"
    async with EmbeddedRedis(tmp_path) as server:
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
        stranger = connect(f"unix://{directory / 'redis.sock'}", role="blocking")
        with pytest.raises(Unavailable, match="password"), unavailable():
            await stranger.get("anything")
        await stranger.aclose()
        password = (directory / "password").read_text(encoding="ascii")
        argv = _argv(server.pid)

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert modes["password"] == 0o600
    assert modes["lock"] == 0o600
    assert modes["server.log"] == 0o600
    assert password not in argv
    assert password not in (directory / "server.log").read_text(encoding="utf-8")


def _argv(pid: int | None) -> str:
    command_line = Path(f"/proc/{pid}/cmdline")
    return command_line.read_text(encoding="utf-8") if command_line.exists() else ""


@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_promise_6a_killed_server_keeps_every_acknowledged_write(
    tmp_path: Path, fsync: str
) -> None:
    """
    After `kill -9` amid writes, the restarted server has each write it answered, at the same URL.
    """
    async with EmbeddedRedis(tmp_path) as server:
        url = server.url
        acknowledged: list[str] = []
        async with connect(url, role="blocking") as client, asyncio.TaskGroup() as tasks:
            await client.config_set("appendfsync", fsync)
            tasks.create_task(_kill_when(server, lambda: len(acknowledged) >= 200))
            await _push_until_cut(client, acknowledged)
        status = await server.wait_ended()

        await server.start()
        async with connect(url, role="command") as client:
            kept = await client.lrange("list", 0, -1)

    assert status == -signal.SIGKILL
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) <= len(acknowledged) + 1


async def _push_until_cut(client: Redis, acknowledged: list[str]) -> None:
    number = 0
    with contextlib.suppress(Unavailable), unavailable():
        while True:
            await client.rpush("list", str(number))
            acknowledged.append(str(number))
            number += 1


async def _kill_when(server: EmbeddedRedis, fact: Callable[[], bool]) -> None:
    await until("there are enough writes", fact)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)


async def test_data_outlives_an_orderly_stop(tmp_path: Path) -> None:
    """
    Stopping and starting again, by another object, finds the data behind the same password.
    """
    async with EmbeddedRedis(tmp_path) as server, connect(server.url, role="command") as client:
        await client.set("key", "value")

    async with EmbeddedRedis(tmp_path) as server, connect(server.url, role="command") as client:
        value = await client.get("key")

    assert value == "value"


async def test_torn_tail_of_the_log_is_cut_off(tmp_path: Path) -> None:
    """
    A write that was cut by a power failure was never acknowledged; it does not stop the start.
    """
    async with EmbeddedRedis(tmp_path) as server, connect(server.url, role="command") as client:
        await client.set("key", "value")
    log = max((tmp_path / "redis" / "appendonlydir").glob("*.incr.aof"))
    with log.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nto")

    async with EmbeddedRedis(tmp_path) as server, connect(server.url, role="command") as client:
        value = await client.get("key")

    assert value == "value"


async def test_second_server_on_one_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Two servers on one log would destroy it: the second start says which process is in the way.
    """
    monkeypatch.setattr("internal.rdb.datadir._LOCK_SECONDS", 0.1)
    async with EmbeddedRedis(tmp_path) as server:
        with pytest.raises(Conflict, match=f"process id {server.pid}"):
            await EmbeddedRedis(tmp_path).start()
        with pytest.raises(Conflict, match=f"process {server.pid}"):
            await server.start()

        async with connect(server.url, role="command") as client:
            assert await client.ping()


async def test_long_data_dir_gets_a_socket_elsewhere(tmp_path: Path) -> None:
    """
    A socket's path has about 100 bytes; a longer data_dir works all the same and leaves nothing.
    """
    data_dir = tmp_path / ("long " * 25) / 'with "quotes" and ü'

    async with EmbeddedRedis(data_dir) as server, connect(server.url, role="command") as client:
        await client.set("key", "value")
        socket = Path((await client.config_get("unixsocket"))["unixsocket"] or "")
        mode = stat.S_IMODE(socket.parent.stat().st_mode)

    assert data_dir not in socket.parents
    assert mode == 0o700
    assert not socket.parent.exists()


async def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """
    The error ends with the server's own words, and nothing is left running or locked.
    """
    async with EmbeddedRedis(tmp_path):
        pass
    manifest = next((tmp_path / "redis" / "appendonlydir").glob("*.manifest"))
    whole = manifest.read_bytes()
    manifest.write_bytes(b"not a manifest\n")

    with pytest.raises(Unavailable, match=r"ended with status 1\.\n(?s:.)*manifest"):
        await EmbeddedRedis(tmp_path).start()

    manifest.write_bytes(whole)
    async with EmbeddedRedis(tmp_path):
        pass


async def test_server_dies_with_its_killed_parent(tmp_path: Path) -> None:
    """
    After `kill -9` of the owner the server is gone, and a new owner gets the directory.
    """
    if sys.platform != "linux":
        pytest.skip("parent-death signals are Linux's")
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()

    async with EmbeddedRedis(tmp_path):
        await until("the old server is gone", lambda: not Path(f"/proc/{pid}").exists())


async def test_frozen_server_is_stopped_within_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A server that does not react to SIGTERM is killed.
    """
    monkeypatch.setattr("internal.rdb.embedded._STOP_SECONDS", 0.2)
    server = EmbeddedRedis(tmp_path)
    await server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)

    await server.stop()

    assert await server.wait_ended() == -signal.SIGKILL


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None or os.geteuid() != 0 or not _mount(mount, mount_point):
        pytest.skip("needs the right to mount a small file system")
    yield mount_point
    subprocess.run([umount, str(mount_point)], check=True)


def _mount(program: str, mount_point: Path) -> bool:
    argv = [program, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount_point)]
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


async def test_promise_10_full_disk_stops_the_server_and_no_data(small_disk: Path) -> None:
    """
    What the disk did not take is not acknowledged (the server ends, as its replies would lie);
    started again it reads everything on the still full disk, and writes when there is space.
    """
    async with EmbeddedRedis(small_disk) as server, connect(server.url, role="command") as client:
        await client.set("key", "value")
        ballast = small_disk / "ballast"
        _fill(ballast)
        with pytest.raises(Unavailable), unavailable():
            await client.set("large", "x" * 100_000)
        await server.wait_ended()

        await server.start()
        kept = await client.get("key"), await client.get("large")
        ballast.unlink()
        await client.set("large", "y")

        assert kept == ("value", None)
        assert await client.get("large") == "y"


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
