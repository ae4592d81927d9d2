"""
What the ends of attempts decide by: repeats, quotas, breakers; and the default that has numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Protocol

from internal.control.breaker import BreakerRule
from internal.control.quota import QuotaRule, UsedUp, quota_wait
from internal.control.retry import Failed, RetryRule, repeat_delay


class OutcomePolicy(Protocol):
    """The part of the policy that is asked when an attempt ends. Nothing in it does I/O."""

    def retry(self, failed: Failed) -> float | None:
        """Seconds until a failed run repeats by itself; None: it ends."""
        ...

    def quota_wait(self, used_up: UsedUp) -> float | None:
        """Seconds to leave a key without quota alone, while its run waits; None: it fails."""
        ...

    def breaker(self, key: str) -> BreakerRule:
        """When the breaker of the gate *key* opens."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRules:
    """See `OutcomePolicy`; the same numbers for everybody."""

    retries: RetryRule = field(default_factory=RetryRule)
    quotas: QuotaRule = field(default_factory=QuotaRule)
    breakers: BreakerRule = field(default_factory=BreakerRule)
    random: Random = field(default_factory=SystemRandom)

    def retry(self, failed: Failed) -> float | None:
        """See `OutcomePolicy`."""
        return repeat_delay(self.retries, failed, self.random)

    def quota_wait(self, used_up: UsedUp) -> float | None:
        """See `OutcomePolicy`."""
        return quota_wait(self.quotas, used_up)

    def breaker(self, key: str) -> BreakerRule:
        """See `OutcomePolicy`."""
        del key
        return self.breakers
