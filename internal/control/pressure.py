"""
Backpressure: whether new work is taken, from how things are now. Pure.

Only submissions are asked (create, instruct, retry); what is queued is always claimed, or a
shortage would never end. A queue that only waits is no overload: what stands at a gate, waits for a
time or is paused does not count, neither does age alone, nor a queue whose workers are scaled to
zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """What a submission gets."""

    ACCEPT = "accept"
    SLOW = "slow"
    """429: ask again later, and less often."""
    REFUSE = "refuse"
    """503: there is no room."""


class Cause(StrEnum):
    """What is short."""

    NONE = "none"
    QUEUE = "queue"
    """More waits than live slots can do soon, and it has waited for long."""
    DISK = "disk"
    """Every live home is above its critical threshold."""
    MEMORY = "memory"
    """The memory of this server's machine or container."""
    REDIS_MEMORY = "redis_memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How things are. Shares are 0 to 1; 0 where there is no limit or it is unknown."""

    runnable: int = 0
    """Tasks that could run now, if there were a slot."""
    oldest_seconds: float = 0.0
    """Since the oldest of them was queued."""
    slots: int = 0
    """Of live workers."""
    homes: int = 0
    full_homes: int = 0
    memory_share: float = 0.0
    redis_memory_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """The numbers of a deployment, as its settings have them."""

    slow_per_slot: int = 200
    slow_age_seconds: int = 900
    refuse_per_slot: int = 2000
    refuse_age_seconds: int = 3600
    slow_memory_share: float = 0.95
    refuse_memory_share: float = 0.98
    trim_redis_share: float = 0.75
    """Above it the agent events of the tasks that finished first go."""
    refuse_redis_share: float = 0.90


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What submissions get now, and why."""

    answer: Answer
    cause: Cause = Cause.NONE
    retry_after_seconds: int = 0


def pressure(load: Load, numbers: Pressure) -> Verdict:
    """The verdict on *load*; what refuses is looked at before what slows down."""
    redis, memory = load.redis_memory_share, load.memory_share
    behind = _is_behind(load, numbers.slow_per_slot, numbers.slow_age_seconds)
    far_behind = _is_behind(load, numbers.refuse_per_slot, numbers.refuse_age_seconds)
    rows = (
        (redis > numbers.refuse_redis_share, Answer.REFUSE, Cause.REDIS_MEMORY, 30),
        (memory > numbers.refuse_memory_share, Answer.REFUSE, Cause.MEMORY, 10),
        (far_behind, Answer.REFUSE, Cause.QUEUE, 60),
        (0 < load.homes == load.full_homes, Answer.SLOW, Cause.DISK, 30),
        (memory > numbers.slow_memory_share, Answer.SLOW, Cause.MEMORY, 5),
        (behind, Answer.SLOW, Cause.QUEUE, 10),
    )
    for holds, answer, cause, seconds in rows:
        if holds:
            return Verdict(answer=answer, cause=cause, retry_after_seconds=seconds)
    return Verdict(answer=Answer.ACCEPT)


def _is_behind(load: Load, per_slot: int, age_seconds: float) -> bool:
    deep = load.slots > 0 and load.runnable > per_slot * load.slots
    return deep and load.oldest_seconds > age_seconds
