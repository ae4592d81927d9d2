"""
The peers of the queue: how each is started, and with which settings it is compared.

Each peer has an environment of its own (`make peers`, from `requirements/peers`), because their
requirements exclude each other, and a program in `benchmarks/peers`. All of them, and CodeForge,
get a Redis of their own of the same program with the same settings.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.programs import end
from codeforge import runtime
from internal.config.load import load_settings
from internal.rdb.program import find_server, launch_command, launch_environment, quoted

_ROOT = Path(__file__).parents[1]
_PROGRAMS = Path(__file__).parent / "peers"
ENVIRONMENTS = _ROOT / ".venv-peers"
_START_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One queue. `settings` is what a reader must know to judge its figures."""

    name: str
    title: str
    settings: str
    concurrency: int = 10


OURS = Peer(
    name="codeforge",
    title="CodeForge",
    settings="defaults: lease 9 s; a task is a document with an event log, and its end writes an"
    " outbox entry",
)
PEERS = (
    OURS,
    Peer(
        name="docket",
        title="docket",
        settings="acknowledged after the run; redelivery_timeout 5 s (default 300 s),"
        " minimum_check_interval 1 ms (250 ms), no execution record kept",
    ),
    Peer(
        name="taskiq",
        title="taskiq, Redis streams",
        settings="acknowledged after the run; idle_timeout 5 s (default 600 s),"
        " unacknowledged_lock_timeout 2 s (none), xread_count 10 (100); no results",
    ),
    Peer(
        name="arq",
        title="arq",
        settings="poll_delay 10 ms (default 500 ms), job_timeout 2 s (300 s), so a dead worker's"
        " claim ends after 12 s; max_tries 20 (5); no results",
    ),
    Peer(
        name="dramatiq",
        title="dramatiq",
        settings="threads; acknowledged after the run; heartbeat_timeout 5 s (default 60 s),"
        " maintenance_chance 10 % (0.1 %); default middleware",
    ),
    Peer(
        name="celery",
        title="Celery, solo pool",
        concurrency=1,
        settings="acks_late, reject_on_worker_lost, prefetch multiplier 1; visibility_timeout 5 s"
        " (default 1 h), its sweep each 10 s (100 s), the sweep's mutex 10 s (300 s); no results",
    ),
    Peer(
        name="rq",
        title="RQ, SimpleWorker",
        concurrency=1,
        settings="Retry(max=20), job_timeout 2 s, so a claim ends after 62 s; maintenance each 5 s"
        " (default 600 s), worker_ttl 20 s (420 s); results kept in the kill loop only",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A Redis for one peer, and what its programs get."""

    peer: Peer
    environment: dict[str, str]
    log: Path
    ledger: Path
    redis_pid: int

    @asynccontextmanager
    async def program(self, *arguments: str) -> AsyncGenerator[Process]:
        """One of the peer's programs, its standard output a pipe; ended on leaving."""
        with self.log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *(*_argv(self.peer), *arguments),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=stderr,
                env=self.environment,
                limit=1 << 26,
            )
        try:
            yield process
        finally:
            await end(process)

    async def kill(self, process: Process) -> None:
        """SIGKILL, and wait until it is gone."""
        process.send_signal(signal.SIGKILL)
        await process.wait()


def is_installed(peer: Peer) -> bool:
    """Whether the peer's environment is there."""
    return peer is OURS or (ENVIRONMENTS / peer.name / "bin" / "python").exists()


@asynccontextmanager
async def open_ground(peer: Peer, *, fsync: bool, concurrency: int = 10) -> AsyncGenerator[Ground]:
    """
    Start a Redis for *peer* on loopback, with an append-only file.

    *concurrency*: jobs at once in a worker, of a peer that can do more than one.
    """
    with tempfile.TemporaryDirectory(prefix="codeforge-peer-") as name:
        directory, port = Path(name), _free_port()
        server = await _start_server(directory, port, fsync=fsync)
        try:
            await _answers(port)
            ledger = directory / "ledger"
            ledger.touch()
            yield Ground(
                peer=peer,
                environment={
                    **_environment(directory, port, ledger),
                    "PEER_CONCURRENCY": str(concurrency),
                },
                log=directory / "log",
                ledger=ledger,
                redis_pid=server.pid,
            )
        finally:
            await end(server)


async def _start_server(directory: Path, port: int, *, fsync: bool) -> Process:
    """A server that ends with this process, also when that is killed."""
    server = await asyncio.create_subprocess_exec(
        *launch_command(find_server()),
        stdin=PIPE,
        stdout=DEVNULL,
        stderr=DEVNULL,
        env=launch_environment(),
    )
    if server.stdin is None:
        raise RuntimeError("it was started with a pipe")
    server.stdin.write(
        f'bind 127.0.0.1\nport {port}\nsave ""\ndir {quoted(directory)}\n'
        f"appendonly yes\nappendfsync {'always' if fsync else 'no'}\n".encode()
    )
    server.stdin.close()
    return server


def _argv(peer: Peer) -> tuple[str, ...]:
    if peer is OURS:
        return (sys.executable, "-m", "benchmarks.own_peer")
    python = ENVIRONMENTS / peer.name / "bin" / "python"
    return (str(python), str(_PROGRAMS / f"{peer.name}_peer.py"))


def _environment(directory: Path, port: int, ledger: Path) -> dict[str, str]:
    file = directory / "codeforge.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "data_dir": str(directory / "data"),
                "logging": {"level": "error"},
                "server": {"auth_token": "benchmark-token-0123456789abcdef"},
                "redis": {"url": f"redis://127.0.0.1:{port}/0"},
            }
        )
    )
    kept = {key: text for key, text in os.environ.items() if not key.startswith("CODEFORGE_")}
    made = {
        **kept,
        "CODEFORGE_CONFIG": str(file),
        "PEER_REDIS_PORT": str(port),
        "LEDGER": str(ledger),
    }
    runtime.make_secrets(load_settings(made, directory).settings)
    return made


async def _answers(port: int) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
