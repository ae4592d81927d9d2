"""
Quotas of provider keys: one gate per key, so that whoever learns first tells all.

The gate's key names no key, only a keyed hash of it (`fingerprint`); with the tenant in it, one
tenant's used-up key shuts nobody else's tasks out, whatever key they have.

A used-up quota with a known end is no failure: the run waits for it, and neither a life nor a
repeat is taken. So many times, because an agent that always names a time would go round for ever.
Without a known end the next key of the list is tried; without one of those either, the run fails.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRule:
    """The numbers; durations in seconds."""

    longest_wait_seconds: int = 6 * 3_600
    most_waits: int = 10
    """Of one run."""
    pause_seconds: int = 900
    """How long a key is left alone whose end of the wait nobody knows, while there is another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedUp:
    """A run that its key had no quota for."""

    seconds: float | None
    """Until the provider gives some again; None when it did not say."""
    waits: int
    """How often this run has waited for a quota already."""
    has_next: bool
    """Another key of the list comes behind this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """Shut one gate for *seconds*; *why* is for whoever reads the gate."""

    key: str
    seconds: float
    why: str


def quota_key(tenant: str, fingerprint: str) -> str:
    """The gate of one key of one tenant."""
    return f"quota:{tenant}:{fingerprint}"


def quota_wait(rule: QuotaRule, used_up: UsedUp) -> float | None:
    """Seconds to leave the key alone while the run waits or takes another; None: it fails."""
    if used_up.waits >= rule.most_waits:
        return None
    if used_up.seconds is not None and used_up.seconds <= rule.longest_wait_seconds:
        return max(1.0, used_up.seconds)
    if used_up.has_next:
        known = rule.pause_seconds if used_up.seconds is None else used_up.seconds
        return float(min(known, rule.longest_wait_seconds))
    return None
