"""Attempt number to delay, with full jitter (the delay is uniform between 0 and the bound)."""

from __future__ import annotations

from random import Random


def full_jitter(
    attempt: int, *, base_seconds: float, factor: float, cap_seconds: float, random: Random
) -> float:
    """
    Seconds to wait before repeating after failure number *attempt* (from 0).

    Uniform in [0, min(cap, base * factor ** attempt)]. Source: the AWS architecture note on
    exponential backoff and jitter; the numbers are the caller's.
    """
    bound = min(cap_seconds, base_seconds * factor**attempt)
    return random.uniform(0, bound)
