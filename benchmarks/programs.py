"""Child processes of a benchmark: started with a log, gone when the benchmark is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_STOP_SECONDS = 10


@asynccontextmanager
async def python(
    *arguments: str, environment: Mapping[str, str], log: Path, stdio: bool = False
) -> AsyncGenerator[Process]:
    """
    `python -m <arguments>`, ended on leaving; stderr goes to *log*, where a service's would go.

    With *stdio* its stdin and stdout are pipes.
    """
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *arguments),
            stdin=PIPE if stdio else DEVNULL,
            stdout=PIPE if stdio else DEVNULL,
            stderr=stderr,
            env=dict(environment),
            limit=1 << 26,
        )
    try:
        yield process
    finally:
        await end(process)


async def end(process: Process) -> None:
    """SIGTERM, and after 10 s SIGKILL; nothing when it has ended."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def tell(process: Process, message: Mapping[str, Any]) -> None:
    """Write one line of JSON to a program started with *stdio*."""
    if process.stdin is None:
        raise TypeError("started without stdio")
    process.stdin.write(json.dumps(message).encode() + b"\n")
    await process.stdin.drain()


async def hear(process: Process) -> dict[str, Any]:
    """
    The next line of JSON from a program started with *stdio*.

    Raises:
        RuntimeError: it ended without one; its log says why.
    """
    if process.stdout is None:
        raise TypeError("started without stdio")
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"the program ended with status {await process.wait()}")
    heard: dict[str, Any] = json.loads(line)
    return heard
