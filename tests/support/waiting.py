"""Waiting for a fact, never for a time: the limit is for a test that would hang otherwise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable

_LIMIT_SECONDS = 30
_POLL_SECONDS = 0.01


async def until(what: str, fact: Callable[[], object | Awaitable[object]]) -> None:
    """Return once *fact* is true (or awaits to something true); *what* says which one it is."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while True:
        truth = fact()
        if await truth if isawaitable(truth) else truth:
            return
        assert time.monotonic() < deadline, f"did not come true: {what}"
        await asyncio.sleep(_POLL_SECONDS)
