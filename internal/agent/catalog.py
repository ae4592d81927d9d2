"""
Name to driver: the one table of agents, the same on every server and worker.

A server knows all names without having any of the programs; whether a program is there, its
workers say.
"""

from __future__ import annotations

from internal.agent.base import Agent
from internal.agent.claude import ClaudeCode
from internal.agent.demo import Demo

_DRIVERS: tuple[Agent, ...] = (ClaudeCode(), Demo())

AVAILABLE: dict[str, Agent] = {driver.name: driver for driver in _DRIVERS}
"""What this version can run, by name."""

PLANNED = frozenset({"codex", "opencode", "gemini"})
"""Part of the contract, not built into this version."""

KNOWN = frozenset(AVAILABLE) | PLANNED
"""Every name that means an agent; any other is a mistake of the caller."""


def find(name: str) -> Agent | None:
    """The driver of *name*, or None when it is planned or unknown (`KNOWN` tells them apart)."""
    return AVAILABLE.get(name)
