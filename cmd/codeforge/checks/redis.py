"""Redis: the embedded one can be started, or the one of `redis.url` is fit."""

from __future__ import annotations

from pathlib import Path

from codeforge.checks.finding import Finding, fail, ok, warn
from internal.config.settings import Settings
from internal.errors import CodeforgeError, Invalid, Unavailable
from internal.process.command import run_command
from internal.process.errors import CommandTimedOut, StartFailed
from internal.rdb.client import connect
from internal.rdb.health import read_facts
from internal.rdb.program import find_server

_VERSION_SECONDS = 10


async def check_redis(settings: Settings) -> Finding:
    """The one that would be used; nothing is written to it."""
    url = settings.redis.url.get_secret_value()
    return await _check_remote(url, settings) if url else await _check_embedded()


async def _check_embedded() -> Finding:
    try:
        program = find_server()
        answer = await run_command(
            (str(program), "--version"),
            environment={},
            cwd=Path("/"),
            timeout_seconds=_VERSION_SECONDS,
            max_output_bytes=4096,
        )
    except (Unavailable, StartFailed, CommandTimedOut) as error:
        return fail("redis", error.message, "Or set redis.url to a server of your own.")
    words = answer.stdout.decode(errors="replace").split()
    version = next((word.removeprefix("v=") for word in words if word.startswith("v=")), "")
    return ok("redis", f"embedded: {program.name} {version}")


async def _check_remote(url: str, settings: Settings) -> Finding:
    try:
        client = connect(url, role="command", max_connections=1)
    except CodeforgeError as error:
        return fail("redis", error.message, "Correct redis.url.")
    try:
        facts = await read_facts(client, ephemeral=settings.redis.ephemeral)
    except Invalid as error:
        return fail("redis", error.message, "Use a Redis or Valkey 7 or later that keeps its data.")
    except Unavailable as error:
        return fail("redis", error.message, "Start it, or correct redis.url.")
    finally:
        await client.aclose()
    message = f"{facts.program} {facts.version}"
    if not facts.warnings:
        return ok("redis", message)
    return warn("redis", message, " ".join(facts.warnings))
