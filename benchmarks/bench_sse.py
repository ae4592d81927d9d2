"""Live events: from the worker's append to what 1,000 viewers of one server process read."""

from __future__ import annotations

import asyncio
import time
from random import Random

from benchmarks.deployment import Deployment, open_deployment
from benchmarks.procfs import cpu_seconds
from benchmarks.programs import hear, tell
from benchmarks.scale import Scale
from benchmarks.table import Table, millis
from benchmarks.tasks import submit
from codeforge.wiring.core import Core
from internal.ids import random_token
from internal.task.event import new_event
from internal.task.model import Claim
from internal.task.queue import Lane
from internal.task.state import State

_TASKS = 10
_LEASE_SECONDS = 3600
"""Nobody renews the leases of this benchmark."""


async def run(scale: Scale) -> Table:
    """The same viewers at several rates."""
    overrides = {"workers": {"lease_seconds": _LEASE_SECONDS}}
    async with open_deployment(overrides=overrides) as deployment:
        server = await deployment.server()
        core = await deployment.core()
        rows = [await _watch(deployment, server.pid, core, scale, rate) for rate in scale.sse_rates]
    return Table(
        title=f"Live events, {scale.sse_viewers:,} viewers",
        aim="p99 at most 100 ms from emit to client, one server process",
        columns=(
            "events/s per task",
            "deliveries/s",
            "p50 ms",
            "p99 ms",
            "max ms",
            "server's share of a core",
            "load client's share of a core",
            "received of sent",
        ),
        rows=rows,
        notes=(
            f"{_TASKS} running tasks, the viewers shared among them; fsync always. From before the "
            "append call to the client's read; the tasks emit independently of one another.",
            "A row whose two shares add up to the machine's cores is limited by the machine.",
        ),
    )


async def _running_task(core: Core) -> Claim:
    await submit(core)
    claim = await core.queue.claim(Lane.AGENT, worker="bench", home="nowhere")
    if claim is None:
        raise RuntimeError("the task that was just made is not there")
    await core.queue.advance(claim, State.RUNNING, {"isolation": "none"}, random_token())
    return claim


async def _watch(
    deployment: Deployment, server: int, core: Core, scale: Scale, rate: int
) -> list[str]:
    claims = [await _running_task(core) for _ in range(_TASKS)]
    events = max(1, int(scale.sse_seconds * rate))
    client = await deployment.program("sse_load")
    order = {
        "host": "127.0.0.1",
        "port": deployment.settings.server.port,
        "token": deployment.secrets.auth_token,
        "tasks": [claim.task.id for claim in claims],
        "viewers": scale.sse_viewers,
        "events": events,
    }
    await tell(client, order)
    await hear(client)
    cpu, began = cpu_seconds(server), time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number, claim in enumerate(claims):
            group.create_task(_emit(core, claim, number, events=events, rate=rate))
    seen = await hear(client)
    seconds = time.monotonic() - began
    return [
        str(rate),
        f"{seen['received'] / seconds:,.0f}",
        millis(seen["p50"]),
        millis(seen["p99"]),
        millis(seen["max"]),
        f"{(cpu_seconds(server) - cpu) / seconds:.0%}",
        f"{seen['cpu_share']:.0%}",
        f"{seen['received']:,} of {seen['expected']:,}",
    ]


async def _emit(core: Core, claim: Claim, number: int, *, events: int, rate: int) -> None:
    random = Random(number)  # noqa: S311 -- only to spread the emits
    await asyncio.sleep(random.random() / rate)
    for batch in range(1, events + 1):
        event = new_event("stream", "text", {"text": f"at {time.monotonic():.6f}"})
        await core.queue.append(claim, batch, [event])
        await asyncio.sleep(random.uniform(0.5, 1.5) / rate)
