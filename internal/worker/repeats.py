"""
An agent that does the same again and again: the same tool with the same input, many times in a row.

Looks at the calls as the agent made them, before anything is cut off them: two long inputs that
differ late are not the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable

from internal.agent.model import AgentEvent, EventKind

_LONGEST_NAME = 100


class Repeats:
    """
    Counts identical calls in a row. *warn* is told tool and count at *most* of them; at twice as
    many `reached` resolves with the same. 0 counts nothing.
    """

    def __init__(self, most: int, warn: Callable[[str, int], None]) -> None:
        self.reached: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
        self._most = most
        self._warn = warn
        self._last = b""
        self._count = 0

    def see(self, event: AgentEvent) -> None:
        """One event of the agent."""
        if event.kind is not EventKind.TOOL_USE or not self._most:
            return
        name, given = event.data.get("name"), event.data.get("input")
        call = json.dumps([name, given], default=str).encode("utf-8", "replace")
        digest = hashlib.blake2b(call, digest_size=16).digest()
        self._count = self._count + 1 if digest == self._last else 1
        self._last = digest
        tool = str(name)[:_LONGEST_NAME]
        if self._count == self._most:
            self._warn(tool, self._count)
        if self._count >= 2 * self._most and not self.reached.done():
            self.reached.set_result((tool, self._count))
