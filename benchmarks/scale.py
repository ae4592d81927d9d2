"""How much each benchmark does: the numbers behind docs/benchmarks.md, and tiny ones for a test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Sizes of all benchmarks; the names begin with the benchmark they belong to."""

    fsync: tuple[bool, ...]
    """Whether Redis syncs each write: where it matters, one row for each."""
    submit_seconds: float
    claim_count: int
    lives_count: int
    start_files: int
    start_commits: int
    start_warm: int
    start_clones: int
    isolation_starts: int
    isolation_checkouts: int
    sse_viewers: int
    sse_rates: tuple[int, ...]
    """Events a second of each task. An agent that prints all the time makes 20 appends a second."""
    sse_seconds: float
    output_mib: int
    memory_tasks: int
    memory_viewers: int
    memory_idle_seconds: float
    keys_count: int
    keys_seconds: float
    publish_files: int
    publish_rounds: int
    recovery_rounds: int
    recovery_kills: int
    """Workers killed in each round, a second apart."""
    webhook_delays: int
    webhook_count: int
    peer_count: int
    peer_sends: int
    loss_count: int
    loss_kills: int


FULL = Scale(
    fsync=(False, True),
    submit_seconds=6,
    claim_count=500,
    lives_count=5_000,
    start_files=2_600,
    start_commits=300,
    start_warm=12,
    start_clones=4,
    isolation_starts=50,
    isolation_checkouts=5,
    sse_viewers=1_000,
    sse_rates=(1, 2, 5),
    sse_seconds=10,
    output_mib=1024,
    memory_tasks=10,
    memory_viewers=1_000,
    memory_idle_seconds=5,
    keys_count=5_000,
    keys_seconds=8,
    publish_files=1_000,
    publish_rounds=5,
    recovery_rounds=3,
    recovery_kills=3,
    webhook_delays=300,
    webhook_count=1_500,
    peer_count=3_000,
    peer_sends=300,
    loss_count=1_000,
    loss_kills=25,
)

QUICK = Scale(
    fsync=(True,),
    submit_seconds=0.2,
    claim_count=5,
    lives_count=40,
    start_files=20,
    start_commits=3,
    start_warm=1,
    start_clones=1,
    isolation_starts=2,
    isolation_checkouts=1,
    sse_viewers=10,
    sse_rates=(5,),
    sse_seconds=0.5,
    output_mib=1,
    memory_tasks=1,
    memory_viewers=5,
    memory_idle_seconds=0,
    keys_count=5,
    keys_seconds=1,
    publish_files=5,
    publish_rounds=1,
    recovery_rounds=1,
    recovery_kills=1,
    webhook_delays=3,
    webhook_count=20,
    peer_count=20,
    peer_sends=3,
    loss_count=20,
    loss_kills=1,
)
"""Says nothing about speed; shows that every benchmark still runs."""


def bounded(count: int, seconds: float) -> Iterator[int]:
    """0, 1, ... below *count*, but no more once *seconds* are over: a busy machine does less."""
    until = time.monotonic() + seconds
    for number in range(count):
        if number and time.monotonic() > until:
            return
        yield number
