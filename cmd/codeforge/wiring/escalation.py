"""What the settings say of escalation and backpressure, as the numbers of their policy."""

from __future__ import annotations

from internal.config.settings import Settings
from internal.control.escalation import Escalation, ScopeKind, Signal, Thresholds
from internal.control.pressure import Pressure


def escalation_of(settings: Settings) -> Escalation:
    """What `control.escalation` says."""
    chosen = settings.control.escalation
    return Escalation(
        window_seconds=chosen.window_seconds,
        quiet_seconds=chosen.quiet_seconds,
        thresholds={
            ScopeKind.AGENT: _thresholds(chosen.agent),
            ScopeKind.REPOSITORY: _thresholds(chosen.repository),
            ScopeKind.WORKER: _thresholds(chosen.worker),
        },
        warn_only=frozenset(map(Signal, chosen.warn_only)),
    )


def pressure_numbers(settings: Settings) -> Pressure:
    """What `control.pressure` says."""
    return Pressure(**settings.control.pressure.model_dump())


def _thresholds(counts: tuple[int, int, int, int]) -> Thresholds:
    warn, throttle, isolate, stop = counts
    return Thresholds(warn=warn, throttle=throttle, isolate=isolate, stop=stop)
