"""Submitting: POST /api/v1/tasks to one server process, beside the least such a server can do."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import Mapping
from typing import Any

from benchmarks.deployment import Deployment, open_deployment, until
from benchmarks.procfs import cpu_seconds, resident_bytes
from benchmarks.programs import hear, tell
from benchmarks.scale import Scale
from benchmarks.table import Table, mebibytes, millis

_BODY = {
    "repo_url": "https://git.example.org/team/service.git",
    "prompt": "Add a test for the parser of the configuration file, and fix what it finds.",
    "labels": {"team": "core"},
}
_CONNECTIONS = 16


async def run(scale: Scale) -> Table:
    """Our server and the limit, each without fsync and with the embedded server's."""
    rows: list[list[str]] = []
    for fsync in scale.fsync:
        async with open_deployment(fsync=fsync) as deployment:
            said = "fsync always" if fsync else "no fsync"
            rows.append([f"CodeForge, {said}", *await _ours(deployment, scale)])
            rows.append([f"limit, {said}", *await _limit(deployment, scale)])
    return Table(
        title="Submitting a task",
        aim="at least 3,000 POST/s per server process without fsync",
        columns=(
            "server",
            f"POST/s, {_CONNECTIONS} connections",
            "p50 / p99 ms",
            "POST/s, 1 connection",
            "p50 / p99 ms",
            "server CPU µs per POST",
            "RSS after, MiB",
            "load client's share of a core",
        ),
        rows=rows,
        notes=(
            "CodeForge: token, checks, request id, metrics, one log line per request to a file; "
            "one script with hash, row, index, event, queue and bell.",
            "limit: bare Starlette + one script (hash, event, queue), nothing else; "
            "uvloop and httptools in both.",
        ),
    )


async def _ours(deployment: Deployment, scale: Scale) -> list[str]:
    server = await deployment.server()
    order = _order(deployment, scale, port=deployment.settings.server.port, path="/api/v1/tasks")
    return await _measure(deployment, server, order)


async def _limit(deployment: Deployment, scale: Scale) -> list[str]:
    port = deployment.settings.server.port + 1
    server = await deployment.program("limit_app", stdio=False, LIMIT_PORT=str(port))
    await until("the limit listens", lambda: _listens(port))
    return await _measure(deployment, server, _order(deployment, scale, port=port, path="/tasks"))


def _order(deployment: Deployment, scale: Scale, *, port: int, path: str) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "path": path,
        "token": deployment.secrets.auth_token,
        "seconds": scale.submit_seconds,
        "body": _BODY,
    }


async def _measure(deployment: Deployment, server: Process, order: Mapping[str, Any]) -> list[str]:
    client = await deployment.program("http_load")

    async def load(**changes: Any) -> dict[str, Any]:
        await tell(client, {**order, **changes})
        seen = await hear(client)
        if seen["refused"]:
            raise RuntimeError(f"{seen['refused']} of {seen['answers']} were refused")
        return seen

    await load(connections=_CONNECTIONS, seconds=min(1, order["seconds"]))  # warm
    before = cpu_seconds(server.pid)
    many = await load(connections=_CONNECTIONS)
    used = cpu_seconds(server.pid) - before
    one = await load(connections=1, seconds=order["seconds"] / 2)
    cells = [
        f"{many['answers'] / many['seconds']:,.0f}",
        f"{millis(many['p50'])} / {millis(many['p99'])}",
        f"{one['answers'] / one['seconds']:,.0f}",
        f"{millis(one['p50'])} / {millis(one['p99'])}",
        f"{used / many['answers'] * 1e6:,.0f}",
        mebibytes(resident_bytes(server.pid)),
        f"{many['cpu_share']:.0%}",
    ]
    server.terminate()
    await server.wait()
    return cells


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
