"""
`codeforge up`: everything on one machine.

Supervises an embedded Redis (unless `redis.url` names another), the server and one worker process;
makes the deployment's secrets once. A lock in `data_dir` holds the pid, so a second `up` can say
whose it is.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import structlog
import typer

from codeforge import runtime
from codeforge.parent import environment_for_child
from codeforge.parts import child_stages
from codeforge.port import until_free
from codeforge.supervisor import Supervisor, stop_on_signals
from internal.config.settings import Settings
from internal.errors import Conflict, Invalid
from internal.rdb.embedded import EmbeddedRedis

app = typer.Typer()
log = structlog.get_logger(__name__)

_PORT_SECONDS = 10.0
"""The server of an `up` that was killed ends its streams first."""


@app.command()
def up(
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
) -> None:
    """Run everything on this machine until Ctrl-C."""
    if sys.platform != "linux":
        raise Invalid("`codeforge up` needs Linux, because workers do.")
    loaded = runtime.load(os.environ, data_dir=data_dir)
    runtime.check_parts(loaded)
    settings = loaded.settings
    runtime.start_logs(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with hold_data_dir(settings.data_dir):
        made = runtime.make_secrets(settings)
        for path in made:
            log.info("secrets.made", file=str(path))
        secrets = runtime.find_secrets(settings)
        if sys.stderr.isatty() and settings.data_dir / "secrets" / "auth_token" in made:
            print(f"API token (shown once): {secrets.auth_token}", file=sys.stderr)
        runtime.start_logs(settings, secrets)
        runtime.run(_supervise(settings))


@contextmanager
def hold_data_dir(directory: Path) -> Generator[None]:
    """
    Be the only `up` of a `data_dir`.

    Raises:
        Conflict: another one runs; the message says its pid.
    """
    path = directory / "up.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            message = f"{directory} is in use by the `codeforge up` with pid {holder}."
            raise Conflict(message) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


async def _supervise(settings: Settings) -> None:
    stop = asyncio.Event()
    await until_free(settings.server.host, settings.server.port, seconds=_PORT_SECONDS)
    async with AsyncExitStack() as stack:
        redis = None
        environment = environment_for_child(os.environ)
        if not settings.redis.url.get_secret_value():
            redis = await stack.enter_async_context(EmbeddedRedis(settings.data_dir))
            environment["CODEFORGE_REDIS__URL"] = redis.url
        supervisor = Supervisor(redis, child_stages(settings, environment))
        stop_on_signals(stop, supervisor)
        log.info("up.started", url=settings.server.base_url, data_dir=str(settings.data_dir))
        await supervisor.run(stop)
    log.info("up.stopped")
