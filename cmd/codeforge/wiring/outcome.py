"""The numbers of the settings that the ends of runs are judged by."""

from __future__ import annotations

from internal.config.settings import Settings
from internal.control.breaker import BreakerRule
from internal.control.outcome import OutcomeRules
from internal.control.quota import QuotaRule
from internal.control.retry import RetryRule


def outcome_rules(settings: Settings) -> OutcomeRules:
    """The settings' own policy of repeats, quotas and breakers."""
    retry, breaker = settings.control.retry, settings.control.breaker
    return OutcomeRules(
        retries=RetryRule(
            most_repeats=retry.most_repeats,
            base_seconds=retry.base_seconds,
            factor=retry.factor,
            longest_seconds=retry.longest_seconds,
        ),
        quotas=QuotaRule(
            longest_wait_seconds=retry.max_quota_wait_seconds,
            most_waits=retry.most_quota_waits,
            pause_seconds=retry.quota_pause_seconds,
        ),
        breakers=BreakerRule(**breaker.model_dump()),
    )
