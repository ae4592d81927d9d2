"""
A private Redis for one machine: a child that dies with its parent and loses no acknowledged write.

It listens on a Unix socket only, with a password, in a directory of mode 0700. Every write is on
disk before it is answered (`appendfsync always`), so `kill -9` loses nothing. When it is full it
refuses writes instead of forgetting keys. To restart it after a crash is its owner's decision.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import quote

from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from internal.errors import Conflict, Unavailable
from internal.rdb.client import connect
from internal.rdb.datadir import DataDirectory, stored_address, write_holder
from internal.rdb.program import find_server, launch_command, launch_environment, quoted

_READY_SECONDS = 30
_LOADING_SECONDS = 600  # a log of gigabytes is read at some 100 MB/s
_STOP_SECONDS = 10
_MEMORY_SHARE = 0.25


def running_url(data_dir: Path) -> str | None:
    """
    The URL of the server that another process started in *data_dir*, whether it still runs or not;
    None where there never was one. It holds the password.

    Raises:
        OSError: the directory is another user's.
    """
    found = stored_address(data_dir.absolute() / "redis")
    return _url(*found) if found else None


class EmbeddedRedis:
    """
    The server of one data directory.

    `async with EmbeddedRedis(data_dir) as server:` starts and stops it. A supervisor awaits
    `wait_ended` and calls `start` again: the URL and the password stay the same. Use it on the main
    thread: on Linux the server is killed when the thread that started it ends.
    """

    def __init__(self, data_dir: Path, *, maxmemory_bytes: int | None = None) -> None:
        self._directory = DataDirectory(data_dir.absolute() / "redis")
        self._maxmemory_bytes = maxmemory_bytes or int(_memory_bytes() * _MEMORY_SHARE)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the password: a secret. Complete from the first `start` on."""
        return _url(self._directory.socket, self._directory.password)

    @property
    def pid(self) -> int | None:
        """The server's process id; None before the first start."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """
        Start it, again after it ended, and return when it answers.

        Raises:
            Conflict: it runs, or the server of another process uses the directory; the message says
                its pid.
            Unavailable: there is no program to start, the disk refuses, or the server does not get
                ready; the message ends with the last lines of its log.
        """
        if self._process is not None and self._process.returncode is None:
            raise Conflict(f"The embedded Redis runs already, as process {self._process.pid}.")
        try:
            self._directory.prepare()
            self._process = await self._spawn()
        except OSError as error:
            raise Unavailable(f"The embedded Redis cannot be started: {error}") from error
        try:
            await self._await_ready(self._process)
        except BaseException:
            await self.stop()
            raise

    async def wait_ended(self) -> int:
        """The exit status of the server, once it ended; negative is the signal that killed it."""
        if self._process is None:
            raise Conflict("The embedded Redis was never started.")
        return await self._process.wait()

    async def stop(self) -> None:
        """End it, by SIGTERM and after 10 s by SIGKILL, which loses nothing either."""
        if self._process is not None and self._process.returncode is None:
            await _end(self._process)
        self._directory.discard_short()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _spawn(self) -> asyncio.subprocess.Process:
        """Start the program; it inherits the lock on its directory and holds it while it lives."""
        lock = await self._directory.lock()
        try:
            with _pipe(self._settings()) as stdin, self._directory.open_log() as log:
                process = await asyncio.create_subprocess_exec(
                    *launch_command(find_server()),
                    stdin=stdin,
                    stdout=log,
                    stderr=log,
                    env=launch_environment(),
                    start_new_session=True,  # Ctrl-C on a terminal is for its owner alone
                    pass_fds=(lock,),
                )
            write_holder(lock, process.pid)
        finally:
            os.close(lock)
        return process

    def _settings(self) -> str:
        return f"""
port 0
unixsocket {quoted(self._directory.socket)}
unixsocketperm 700
requirepass {self._directory.password}
dir {quoted(self._directory.path)}
daemonize no
logfile ""
save ""
appendonly yes
appendfsync always
aof-load-truncated yes
maxmemory {self._maxmemory_bytes}
maxmemory-policy noeviction
stream-node-max-bytes 512
"""

    async def _await_ready(self, process: asyncio.subprocess.Process) -> None:
        started_at = time.monotonic()
        client = connect(self.url, role="blocking", max_connections=1)
        try:
            while process.returncode is None:
                limit_seconds = _READY_SECONDS
                try:
                    await client.ping()
                except BusyLoadingError:
                    limit_seconds = _LOADING_SECONDS
                except (RedisConnectionError, RedisTimeoutError):
                    pass
                else:
                    return
                if time.monotonic() - started_at > limit_seconds:
                    raise self._failure("The embedded Redis does not answer.")
                await asyncio.sleep(0.01)
        finally:
            await client.aclose()
        raise self._failure(f"The embedded Redis ended with status {process.returncode}.")

    def _failure(self, message: str) -> Unavailable:
        return Unavailable("\n".join([message, *self._directory.log_tail()]))


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _pipe(settings: str) -> BinaryIO:
    """*settings* to read, from no file: they hold the password, and the disk may be full."""
    reader, writer = os.pipe()
    os.write(writer, settings.encode())  # some hundred bytes: they fit into the pipe's buffer
    os.close(writer)
    return open(reader, "rb")


def _memory_bytes() -> int:
    """The memory of this machine, or of the control group that we run in when it has less."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # no Linux, no control groups v2, or "max"
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        own = next((line.removeprefix("0::") for line in groups if line.startswith("0::")), "/")
        limit = Path(f"/sys/fs/cgroup{own}/memory.max").read_text(encoding="ascii")
        return min(machine, int(limit))
    return machine


def _url(socket: Path, password: str) -> str:
    return f"unix://:{password}@{quote(str(socket))}"
