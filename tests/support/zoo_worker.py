"""
A worker that can be killed and stopped: starts one agent, obeys lines on stdin, tells on stdout.

    argv    <marker> <outage grace seconds> <agent's argv...>
    stdin   lease <seconds from now> | frozen
    stdout  <agent's pid> | frozen <seconds> | exit <cause>
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import uvloop

from internal.process.spec import ProcessSpec
from internal.process.supervise import AgentProcess, start


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - its answers are its output


async def _obey(agent: AgentProcess) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        match line.split():
            case ["lease", seconds]:
                agent.hold_lease(time.monotonic() + float(seconds))
            case _:
                _say(f"frozen {agent.frozen_seconds()}")


async def _main() -> None:
    marker, grace_seconds, *argv = sys.argv[1:]
    spec = ProcessSpec(
        argv=argv,
        environment={"PATH": os.environ["PATH"]},
        cwd=Path("/"),
        run_marker=marker,
        outage_grace_seconds=float(grace_seconds),
    )
    async with await start(spec) as agent:
        _say(str(agent.pid))
        obeying = asyncio.create_task(_obey(agent))
        exit_ = await agent.wait()
        _say(f"exit {exit_.cause}")
        obeying.cancel()


if __name__ == "__main__":
    uvloop.run(_main())
