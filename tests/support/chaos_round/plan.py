"""
What a round does, decided beforehand from its seed: every task, and every fault of each tick.

The same seed makes the same plan on every machine; when what happens is the machine's affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

TICK_SECONDS = 0.05
LEASE_SECONDS = 9  # the default of `workers.lease_seconds`
REPOSITORIES = 5
KEYS = 8
POLICIES = ("coalesce", "latest_wins", "reject")
TENANTS = ("default", "default", "other")


class Fault(StrEnum):
    """What is done to the deployment while it works."""

    KILL = "kill"
    PAUSE = "pause"
    STOP = "stop"
    KILL_REDIS = "kill redis"
    KILL_SERVER = "kill server"
    RESET = "network: reset"
    BLACKHOLE = "network: blackhole"
    HALF_OPEN = "network: half-open"
    DELAY = "network: delayed replies"
    REFUSE = "network: refused"
    HOOKS_DOWN = "webhook receiver down"

    @property
    def is_network(self) -> bool:
        return self.startswith("network")


FAULTS: Mapping[Fault, float] = {
    Fault.KILL: 0.030,
    Fault.PAUSE: 0.008,
    Fault.STOP: 0.006,
    Fault.KILL_REDIS: 0.004,
    Fault.KILL_SERVER: 0.004,
    Fault.RESET: 0.006,
    Fault.BLACKHOLE: 0.003,
    Fault.HALF_OPEN: 0.003,
    Fault.DELAY: 0.003,
    Fault.REFUSE: 0.003,
    Fault.HOOKS_DOWN: 0.002,
}
"""Chance of each fault in a tick."""

KINDS: Mapping[str, float] = {
    "quick": 0.75,
    "slow": 0.10,
    "long": 0.01,
    "fails": 0.06,
    "limited": 0.05,
    "quota": 0.02,
    "poison": 0.01,
}
"""Share of each kind of agent: see `_script`."""

_LASTING = frozenset({"long", "poison"})
"""They need a lease or three to end, so the last tasks of a batch are none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One fault: whom it hits and how long it lasts, both from 0 to 1."""

    fault: Fault
    victim: float
    length: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """One task, and what its client does with it."""

    number: int
    kind: str
    tenant: str
    priority: str
    repository: int
    script: Mapping[str, object]
    """What its in-process agent does; see `seams`."""
    is_real: bool
    """It has a process and a repository; else its agent lives in the worker's process."""
    then: Sequence[str]
    """What its client asks for when the run before has ended."""
    cancel_after: float | None
    duplicates: int
    over_http: bool
    viewers: int
    has_callback: bool
    auto_pr: bool
    pause_after: float | None
    dedup: tuple[str, str] | None
    """A deduplication key, which some others have, too, and its policy."""
    is_hosted: bool
    """Of a real one: its repository lies at a forge."""


def plan_strikes(seed: str) -> Iterator[Sequence[Strike]]:
    """The faults of each tick, without an end."""
    random = Random(f"{seed}/faults")  # noqa: S311 - a plan, no secret
    while True:
        drawn = [(fault, random.random(), random.random(), random.random()) for fault in FAULTS]
        yield [
            Strike(fault=fault, victim=victim, length=length)
            for fault, chance, victim, length in drawn
            if chance < FAULTS[fault]
        ]


def plan_tasks(
    seed: str, *, first: int, count: int, real_percent: int, with_dedup: bool = True
) -> list[TaskPlan]:
    """The tasks of a batch; *first* is the number of the first one."""
    random = Random(f"{seed}/tasks")  # noqa: S311 - a plan, no secret
    plans = [
        _plan(random, first + n, is_late=n > count * 0.6, real_percent=real_percent)
        for n in range(count)
    ]
    return plans if with_dedup else [replace(plan, dedup=None) for plan in plans]


def _plan(random: Random, number: int, *, is_late: bool, real_percent: int) -> TaskPlan:
    is_real = number * real_percent % 100 < real_percent
    (kind,) = random.choices(list(KINDS), list(KINDS.values()))
    if is_late and kind in _LASTING:
        kind = "slow"
    tenant = random.choice(TENANTS)
    hosted = random.random() < 0.2
    over_http, viewed = random.random() < 0.25, random.random() < 0.2
    auto_pr = random.random() < 0.12
    dedup = None
    if random.random() < 0.06:
        dedup = (f"dedup-{random.randrange(KEYS)}", random.choice(POLICIES))
    if dedup is not None:  # what joins is known by the service's answer alone
        over_http = is_real = False
    return TaskPlan(
        number=number,
        kind="real" if is_real else kind,
        tenant=tenant,
        priority=random.choice(("low", "normal", "normal", "high")),
        repository=random.randrange(REPOSITORIES),
        script=_script(random, kind),
        is_real=is_real,
        then=[] if kind in _LASTING else _then(random, kind),
        cancel_after=random.uniform(0, 2) if random.random() < 0.08 else None,
        duplicates=random.randrange(1, 3) if random.random() < 0.10 and not dedup else 0,
        over_http=over_http and tenant == "default",
        viewers=1 if viewed and tenant == "default" else 0,
        has_callback=random.random() < 0.15 and not dedup,
        auto_pr=auto_pr and (hosted or not is_real),
        pause_after=random.uniform(0, 2) if random.random() < 0.06 else None,
        dedup=dedup,
        is_hosted=hosted,
    )


def _script(random: Random, kind: str) -> Mapping[str, object]:
    """`steps`, a `pause` each, then `end`: completed, failed, limited or quota (once), poison."""
    steps, pause, end = random.randrange(1, 4), random.uniform(0, 0.01), "completed"
    match kind:
        case "slow":
            steps, pause = random.randrange(4, 9), random.uniform(0.1, 0.5)
        case "long":
            steps, pause = random.randrange(20, 24), 0.5
        case "fails":
            end = "failed"
        case "limited" | "quota" | "poison":
            end = kind
        case _:
            pass
    return {"steps": steps, "pause": round(pause, 3), "end": end}


def _then(random: Random, kind: str) -> Sequence[str]:
    wanted = [
        ("instruct", random.random() < 0.10),
        ("instruct, cancel", random.random() < 0.03),
        ("publish", random.random() < 0.05),
        ("retry", random.random() < (0.5 if kind == "fails" else 0.05)),
        ("publish twice", random.random() < 0.02),
    ]
    chosen = [name for name, is_wanted in wanted if is_wanted]
    random.shuffle(chosen)
    return chosen
