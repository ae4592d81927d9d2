"""
A program that runs the demo agent until it has printed so many MiB, and tells what that cost.

It is alone in its process, so that the memory it takes is the worker's for this one run.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path

import uvloop

from benchmarks.procfs import resident_bytes
from internal.agent.demo import Demo
from internal.agent.model import AgentRequest
from internal.agent.run import RunOptions, run_agent
from internal.clock import SystemClock
from internal.ids import random_token
from internal.process.leftovers import own_marker
from internal.redact import Redactor
from internal.task.event import from_agent

_SECRETS = ("a-token-that-an-agent-should-never-print", "another-one-for-its-model")


async def _flood(directory: Path, mebibytes: int) -> dict[str, float]:
    for name in ("home", "tree"):
        (directory / name).mkdir()
    request = AgentRequest(
        prompt=f"flood {mebibytes} MiB",
        workspace=directory / "tree",
        home=directory / "home",
        environment=dict(os.environ),
    )
    options = RunOptions(
        run_marker=str(own_marker(home="bench", claim=random_token()[:16])),
        redact=Redactor(_SECRETS).redact,
        output_path=directory / "output",
    )
    idle, events, stored = resident_bytes(os.getpid()), 0, 0
    began, cpu = time.monotonic(), time.process_time()
    async with run_agent(Demo(), request, options, clock=SystemClock()) as run:
        async for event in run.events():
            events += 1
            stored += from_agent(event).size
        ending = (await run.result()).ending
    seconds = time.monotonic() - began
    return {
        "completed": ending.value == "completed",
        "seconds": seconds,
        "cpu": time.process_time() - cpu,
        "events": events,
        "stored": stored,
        "kept": (directory / "output").stat().st_size,
        "idle": idle,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    """`<directory> <MiB>`: print one line of JSON."""
    directory, mebibytes = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_flood(Path(directory), int(mebibytes)))), flush=True)


if __name__ == "__main__":
    main()
