"""`codeforge serve`: the HTTP server, one process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from codeforge import runtime
from codeforge.connection import known_here
from codeforge.parent import end_with_parent
from codeforge.wiring.core import Secrets, open_core, run_loops
from codeforge.wiring.server import open_server
from internal.config.settings import Settings
from internal.server.serve import listen
from internal.server.serve import serve as http

if TYPE_CHECKING:
    from internal.telemetry.otel import Tracing

app = typer.Typer()
log = structlog.get_logger(__name__)

_GRACE_SECONDS = 5
"""How long open requests may take once every stream was told `bye`."""


@app.command()
def serve(
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
) -> None:
    """Run the HTTP server."""
    end_with_parent(os.environ)
    loaded = runtime.load(os.environ, data_dir=data_dir)
    runtime.start_logs(loaded.settings)
    secrets = runtime.find_secrets(loaded.settings)
    runtime.start_logs(loaded.settings, secrets)
    runtime.arm_fault(os.environ)
    runtime.warn_without_effect(loaded)
    with runtime.tracing(loaded.settings, "serve") as tracing:
        runtime.run(_serve(loaded.settings, secrets, tracing))


async def _serve(settings: Settings, secrets: Secrets, tracing: Tracing | None) -> None:
    stop = runtime.stop_event()
    listener = listen(settings.server.host, settings.server.port)
    async with open_core(settings, secrets) as core, open_server(core, stop, tracing) as server:
        with known_here(settings.data_dir, settings.server.base_url):
            log.info("server.started", url=settings.server.base_url)
            async with asyncio.TaskGroup() as group:
                group.create_task(run_loops(server.loops, stop))
                await http(server.app, listener, stop, grace_seconds=_GRACE_SECONDS)
                stop.set()
    log.info("server.stopped")
