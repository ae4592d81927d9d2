"""Loops that only wait for Redis: a stop ends them at once, not after the read under way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

_END_SECONDS = 5.0


async def run_until(stop: asyncio.Event, endless: Coroutine[Any, Any, None]) -> None:
    """Run *endless* until *stop*, then cancel it; what ends it before *stop* is raised."""
    running, stopping = asyncio.create_task(endless), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        running.cancel()
        await asyncio.wait({running}, timeout=_END_SECONDS)
    if running.done() and not running.cancelled():
        running.result()
