"""Webhooks: from the script that posts an event to its receiver, one by one and many at once."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import Process

from benchmarks.deployment import Deployment, open_deployment
from benchmarks.procfs import cpu_seconds
from benchmarks.programs import hear
from benchmarks.scale import Scale, bounded
from benchmarks.table import Table, millis, percentile
from codeforge.wiring.core import Core
from internal.task.model import DEFAULT_TENANT
from internal.webhook.model import EventType

_DESTINATIONS = 16
_PAUSE_SECONDS = 0.005
"""Between events that are timed: the dispatcher shall be idle, blocked in its doorbell."""
_LONGEST_SECONDS = 20


async def run(scale: Scale) -> Table:
    """One server process delivers, without fsync and with it."""
    return Table(
        title="Webhooks",
        aim="first try p50 at most 10 ms; at least 300 deliveries/s per process",
        columns=(
            "Redis",
            "first try p50 / p99 ms",
            "deliveries",
            "deliveries/s",
            "server CPU µs per delivery",
        ),
        rows=[await _measure(scale, fsync=fsync) for fsync in scale.fsync],
        notes=(
            "First try: from before the call that posts an event to its whole request in the "
            "receiver's process: script, doorbell, claim, both signatures, connection.",
            f"Deliveries/s: all due at once, {_DESTINATIONS} registered endpoints with 4 attempts "
            "each, 48 for the tenant, each attempt recorded; http on loopback, a receiver that "
            "answers 204 at once.",
        ),
    )


async def _measure(scale: Scale, *, fsync: bool) -> list[str]:
    overrides = {"egress": {"allow": ["127.0.0.0/8"]}}
    async with open_deployment(fsync=fsync, overrides=overrides) as deployment:
        core = await deployment.core()
        sink = await deployment.program("hook_sink", str(_DESTINATIONS))
        endpoints = await _register(core, (await hear(sink))["ports"])
        server = await deployment.server()
        delays = await _delays(core, sink, endpoints[0], scale.webhook_delays)
        server.terminate()
        await server.wait()
        count, rate, cpu = await _drain(deployment, core, sink, endpoints, scale.webhook_count)
        return [
            "fsync always" if fsync else "no fsync",
            f"{millis(percentile(delays, 50))} / {millis(percentile(delays, 99))}",
            f"{count:,}",
            f"{rate:,.0f}",
            f"{cpu * 1e6:,.0f}",
        ]


async def _register(core: Core, ports: list[int]) -> list[str]:
    made = [
        await core.webhooks.create(
            DEFAULT_TENANT, url=f"http://127.0.0.1:{port}/hook", events=frozenset(EventType)
        )
        for port in ports
    ]
    return [it.endpoint.id for it in made]


async def _delays(core: Core, sink: Process, endpoint: str, count: int) -> list[float]:
    seconds: list[float] = []
    for _ in bounded(count + 1, _LONGEST_SECONDS):
        await asyncio.sleep(_PAUSE_SECONDS)
        began = time.monotonic()
        await core.webhooks.send_test(DEFAULT_TENANT, endpoint)
        seconds.append((await hear(sink))["at"] - began)
    return seconds[1:] or seconds  # the first loads scripts and opens connections


async def _drain(
    deployment: Deployment, core: Core, sink: Process, endpoints: list[str], wanted: int
) -> tuple[int, float, float]:
    """How many, how many a second, and the server's seconds of CPU for each."""
    count = 0
    for number in bounded(wanted, _LONGEST_SECONDS):
        await core.webhooks.send_test(DEFAULT_TENANT, endpoints[number % len(endpoints)])
        count += 1
    server = await deployment.server()
    times = [(await hear(sink))["at"] for _ in bounded(count, _LONGEST_SECONDS)]
    # Its start is in there, a second or so.
    return len(times), len(times) / (times[-1] - times[0]), cpu_seconds(server.pid) / len(times)
