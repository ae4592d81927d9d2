"""
Gates that shut and open: the model of `until` gates and of the breakers that JUDGE feeds.

Shut, half-open behind its time, when one live claim at a time goes ahead, or open. A breaker has
the outcomes of its window, whose edge is as sharp as a tenth of it; `verdicts` are those of every
place where that edge may lie.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from internal.control.breaker import BreakerRule
from internal.task.model import Claim
from tests.support.world import World

_EDGE = 0.1


@dataclass(frozen=True)
class Outcome:
    """Of one run, at a time in ms."""

    at: int
    tenant: str
    failed: bool
    slow: bool


@dataclass
class Shutter:
    """One `until` gate; times in ms."""

    until: float | None = None
    """None while it is open; infinite until somebody releases it."""
    times: int = 0
    probe: Claim | None = None
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    def shut(self, until: float) -> None:
        self.until = math.inf if self.until == math.inf else until
        self.times += 1
        self.probe = None
        self.outcomes.clear()

    def open(self) -> None:
        self.until, self.times, self.probe = None, 0, None
        self.outcomes.clear()

    def is_half_open(self, now: int) -> bool:
        return self.until is not None and self.until <= now

    def room(self, now: int, holds: Callable[[Claim], bool]) -> float:
        """How many may pass; *holds*: whether a claim is its task's still."""
        if self.until is None:
            return math.inf
        if now < self.until:
            return 0
        return 0 if self.probe and holds(self.probe) else 1

    def passed(self, claim: Claim, now: int) -> None:
        if self.is_half_open(now):
            self.probe = claim

    def judged(
        self, claim: Claim, outcome: Outcome, rule: BreakerRule, *, is_shared: bool
    ) -> bool | None:
        """
        Whether it shuts now, None when both would do; the pause is `pause_of`.

        *is_shared*: more than one tenant submits, so none alone opens it.
        """
        if self.until is None:
            self.outcomes.append(outcome)
            verdicts = set(_verdicts(self.outcomes, rule, is_shared=is_shared))
            return verdicts.pop() if len(verdicts) == 1 else None
        if self.is_half_open(outcome.at):
            return outcome.failed and self.probe is claim
        return False

    def pause_of(self, rule: BreakerRule) -> int:
        """The next one: twice as long with each probe that failed."""
        return min(rule.longest_pause_seconds, rule.pause_seconds << self.times) * 1000

    def agrees(self, world: World, key: str, holds: Callable[[Claim], bool]) -> None:
        found: Mapping[str, str] = world.get(f"gate:{key}:until")
        if self.until is None:
            assert not found, f"{key} is open"
            return
        assert found, f"{key} is shut until {self.until}"
        until = math.inf if found["until"] == "released" else int(found["until"])
        assert (until, int(found["times"])) == (self.until, self.times)
        if self.probe and holds(self.probe):
            ref = f"{self.probe.task.tenant}/{self.probe.task.id}"
            assert found.get("probe") == f"{ref} {self.probe.token}"


def _verdicts(outcomes: Sequence[Outcome], rule: BreakerRule, *, is_shared: bool) -> Iterator[bool]:
    """Whether these open a breaker, for each place of the window's edge."""
    now, window = outcomes[-1].at, rule.window_seconds * 1000
    surely = sum(o.at > now - window * (1 - _EDGE) for o in outcomes)
    maybe = sum(o.at > now - window for o in outcomes)
    for size in range(surely, maybe + 1):
        yield _opens(outcomes[-size:], rule, is_shared=is_shared)


def _opens(outcomes: Sequence[Outcome], rule: BreakerRule, *, is_shared: bool) -> bool:
    newest, calls = outcomes[-1], len(outcomes)
    row = list(takewhile(lambda outcome: outcome.failed, reversed(outcomes)))
    sums: list[tuple[list[Outcome], float]] = []
    if newest.failed:
        sums.append((row, rule.consecutive))
    if calls >= rule.minimum_calls and newest.failed:
        sums.append(([o for o in outcomes if o.failed], rule.failure_rate * calls))
    if calls >= rule.minimum_calls and newest.slow:
        sums.append(([o for o in outcomes if o.slow], rule.slow_rate * calls))
    return any(_fair(part, needed, is_shared=is_shared) >= needed > 0 for part, needed in sums)


def _fair(outcomes: Sequence[Outcome], needed: float, *, is_shared: bool) -> int:
    """No tenant is more than half of what is needed, as long as there is another one."""
    by_tenant = Counter(outcome.tenant for outcome in outcomes).values()
    most = math.ceil(needed / 2) if is_shared else len(outcomes)
    return sum(min(own, most) for own in by_tenant)
