"""What a queue loses and repeats when its worker is killed again and again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peer_runs import PEERS, Ground, Peer, is_installed, open_ground
from benchmarks.programs import hear
from benchmarks.scale import Scale
from benchmarks.table import Table

LIMIT_SECONDS = 900
_LIFE_SECONDS = 1.0
"""Of a worker, from its first job on."""
_QUIET_SECONDS = 100
"""Without any job: what has not run by then is lost. RQ needs 62 s, and its maintenance."""
_START_SECONDS = 30
_LOOK_SECONDS = 0.05
_AT_A_TIME = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What the ledger says at the end; seconds from the first job on."""

    peer: Peer
    kills: int
    never_ran: int
    never_started: int
    ran_twice: int
    started_twice: int
    seconds: float
    after_last_kill: float


async def run(scale: Scale) -> Table:
    """All peers that are installed, two at a time."""
    slots = asyncio.Semaphore(_AT_A_TIME)

    async def one(peer: Peer) -> Losses:
        async with slots:
            return await _torture(peer, scale)

    present = [peer for peer in PEERS if is_installed(peer)]
    found = await asyncio.gather(*(one(peer) for peer in present))
    return Table(
        title="What is lost under kill -9",
        aim="nothing lost",
        columns=(
            "queue",
            "kills",
            "never ran",
            "of these never started",
            "ran twice or more",
            "started twice or more",
            "all had run after s",
            "of it after the last kill",
        ),
        rows=[_row(losses) for losses in found],
        notes=(
            f"{scale.loss_count:,} jobs of 20 ms, one at a time; the worker is killed"
            f" {_LIFE_SECONDS:.0f} s after its first job and started again, at most"
            f" {scale.loss_kills} times; fsync always; {_AT_A_TIME} queues at a time.",
            "A job is in the ledger (a file) when it starts and when it ends. Late acknowledgement"
            " is on wherever there is one.",
            "No queue can keep a job from starting twice when its worker dies in between; what"
            " CodeForge promises is that one run is recorded.",
            *(f"{peer.title}: {peer.settings}." for peer in present),
        ),
    )


def _row(losses: Losses) -> list[str]:
    return [
        losses.peer.title,
        str(losses.kills),
        str(losses.never_ran),
        str(losses.never_started),
        str(losses.ran_twice),
        str(losses.started_twice),
        f"{losses.seconds:.1f}",
        f"{losses.after_last_kill:.1f}",
    ]


async def _torture(peer: Peer, scale: Scale) -> Losses:
    async with open_ground(peer, fsync=True, concurrency=1) as ground:
        async with ground.program("fill", "slow", str(scale.loss_count)) as producer:
            await hear(producer)
        began, kills, killed_at = time.monotonic(), 0, 0.0
        while kills < scale.loss_kills and not _is_done(ground.ledger, scale.loss_count):
            async with ground.program("work", "0") as worker:
                if not await _grows(ground, _START_SECONDS):
                    break  # this one starts nothing any more: what is left comes later, or never
                await asyncio.sleep(_LIFE_SECONDS)
                await ground.kill(worker)
            kills, killed_at = kills + 1, time.monotonic()
        async with ground.program("work", "0"):
            while not _is_done(ground.ledger, scale.loss_count):
                if not await _grows(ground, _QUIET_SECONDS):
                    break
        starts, ends = _ledger(ground.ledger)
        last = ground.ledger.stat().st_mtime - time.time() + time.monotonic()
    return Losses(
        peer=peer,
        kills=kills,
        never_ran=scale.loss_count - len(ends),
        never_started=scale.loss_count - len(starts),
        ran_twice=sum(times > 1 for times in ends.values()),
        started_twice=sum(times > 1 for times in starts.values()),
        seconds=last - began,
        after_last_kill=max(0.0, last - killed_at),
    )


async def _grows(ground: Ground, seconds: float) -> bool:
    """Whether a job starts or ends within *seconds*."""
    size, until = ground.ledger.stat().st_size, time.monotonic() + seconds
    while ground.ledger.stat().st_size == size:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
    return True


def _is_done(ledger: Path, count: int) -> bool:
    return len(_ledger(ledger)[1]) == count


def _ledger(path: Path) -> tuple[Counter[str], Counter[str]]:
    """How often each job started, and ended."""
    starts, ends = Counter[str](), Counter[str]()
    for line in path.read_text(encoding="ascii").splitlines():
        what, _, number = line.partition(" ")
        (starts if what == "S" else ends)[number] += 1
    return starts, ends
