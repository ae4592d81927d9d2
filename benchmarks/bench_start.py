"""First agent byte after submitting, on a large repository, beside a plain shallow clone."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.deployment import Deployment, open_deployment, until
from benchmarks.repository import clone_shallow, make_repository, packed_bytes
from benchmarks.scale import Scale, bounded
from benchmarks.table import Table, millis, percentile

_MARKS = {
    "claimed": ("system", "state"),
    "tree ready": ("git", "clone_completed"),
    "agent started": ("system", "cli_started"),
    "first event stored": ("stream", None),
}
_LONGEST_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """Seconds from the request to the client's first agent event, and to each mark in the log."""

    seconds: float
    marks: Sequence[float]


async def run(scale: Scale) -> Table:
    """Starts and clones take turns, so both see the same machine."""
    async with open_deployment() as deployment:
        bare = deployment.directory / "large.git"
        url = await asyncio.to_thread(
            make_repository, bare, files=scale.start_files, commits=scale.start_commits
        )
        await deployment.server()
        await deployment.worker()
        async with deployment.client() as client:
            cold = await _start(client, url)
            warm: list[_Start] = []
            clones: list[float] = []
            for _ in bounded(scale.start_warm, _LONGEST_SECONDS):
                await _spares_are_ready(deployment)
                warm.append(await _start(client, url))
                if len(clones) < scale.start_clones:
                    clones.append(await _clone(url, deployment.directory / "clone"))
        size = packed_bytes(bare) / 1e6
    clone = percentile(clones, 50)
    return Table(
        title="First agent byte after submitting",
        aim="warm p50 at most 150 ms, and at least 20 times faster than the shallow clone",
        columns=(
            *("start", "runs", "p50 ms", "max ms", "times faster than the clone"),
            *(f"{mark}, p50 ms" for mark in _MARKS),
        ),
        rows=[
            _row("warm: mirror and ready tree", warm, clone),
            _row("cold: nothing of the repository yet", [cold], clone),
            ["`git clone --depth 1` alone", *_times(clones), "1.0", *["-"] * len(_MARKS)],
        ],
        notes=(
            f"Repository: {size:,.0f} MB packed, {scale.start_commits} commits, "
            f"{scale.start_files:,} files that do not compress; by file://.",
            "From before POST to the first event of the agent in the client's stream. The marks "
            "are the log's own times after the task was created.",
            "The agent is the demo agent, a Python program: its own start is part of this.",
        ),
    )


async def _start(client: httpx2.AsyncClient, url: str) -> _Start:
    began = time.monotonic()
    seconds: float | None = None
    answer = await client.post("/tasks", json={"repo_url": url, "prompt": "say hello"})
    task = answer.raise_for_status().json()["id"]
    async with client.stream("GET", f"/tasks/{task}/stream") as stream:
        async for line in stream.aiter_lines():
            if seconds is None and line.startswith("data: ") and '"type":"stream"' in line:
                seconds = time.monotonic() - began
    events: list[dict[str, Any]] = (await client.get(f"/tasks/{task}/events")).json()["events"]
    if seconds is None:
        raise RuntimeError(f"the agent said nothing: {json.dumps(events[-1])}")
    return _Start(seconds=seconds, marks=[_seconds_to(mark, events) for mark in _MARKS.values()])


def _seconds_to(mark: tuple[str, str | None], events: Sequence[Mapping[str, Any]]) -> float:
    type_, name = mark
    found = next(e for e in events if e["type"] == type_ and name in {None, e["event"]})
    created, reached = (datetime.fromisoformat(e["ts"]) for e in (events[0], found))
    return (reached - created).total_seconds()


async def _spares_are_ready(deployment: Deployment) -> None:
    spares = deployment.settings.tasks.workspace_base / ".spares"
    wanted = deployment.settings.git.spare_trees

    async def are_ready() -> bool:
        return len(list(spares.glob("*/*/*/ready-*"))) >= wanted and not any(
            spares.glob("*/*/*/making-*")
        )

    await until("the ready trees are made", are_ready)


async def _clone(url: str, into: Path) -> float:
    began = time.monotonic()
    await asyncio.to_thread(clone_shallow, url, into)
    seconds = time.monotonic() - began
    await asyncio.to_thread(shutil.rmtree, into)
    return seconds


def _row(name: str, starts: Sequence[_Start], clone: float) -> list[str]:
    seconds = [start.seconds for start in starts]
    marks = [percentile([start.marks[n] for start in starts], 50) for n in range(len(_MARKS))]
    against = f"{clone / percentile(seconds, 50):.1f}"
    return [name, *_times(seconds), against, *map(millis, marks)]


def _times(seconds: Sequence[float]) -> list[str]:
    return [str(len(seconds)), millis(percentile(seconds, 50)), millis(max(seconds))]
