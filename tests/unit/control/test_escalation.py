"""When which signal raises what, as numbers."""

from __future__ import annotations

from typing import get_args

import pytest

from internal.config.settings import EscalationSettings
from internal.control.escalation import (
    Escalation,
    Level,
    ScopeKind,
    Signal,
    Thresholds,
    encode_rules,
)


def test_the_scripts_get_a_line_for_each_signal_and_scope() -> None:
    """Times are in ms, and the levels stand in rising order."""
    numbers = Escalation(
        window_seconds=60,
        quiet_seconds=30,
        thresholds=dict.fromkeys(ScopeKind, Thresholds(warn=1, throttle=2, isolate=3, stop=4)),
    )

    told = encode_rules(numbers.rule, [Signal.SILENCE, Signal.SURVIVORS])

    assert told.splitlines() == [
        "silence agent 60000 30000 1 2 3 4",
        "silence repo 60000 30000 1 2 3 4",
        "silence worker 60000 30000 1 2 3 4",
        "survivors agent 60000 30000 1 0 0 0",
        "survivors repo 60000 30000 1 0 0 0",
        "survivors worker 60000 30000 1 0 0 0",
    ]
    assert encode_rules(numbers.rule, []) == ""


@pytest.mark.parametrize("signal", [Signal.NO_RESULT, Signal.SURVIVORS, Signal.WORKER_LOST])
def test_what_may_be_innocent_only_warns(signal: Signal) -> None:
    """A server left running on purpose, or a machine that dies, takes nothing from anybody."""
    rule = Escalation().rule(signal, ScopeKind.REPOSITORY)

    assert rule is not None
    assert rule.thresholds == Thresholds(warn=3)


def test_a_dead_worker_has_no_level() -> None:
    """Its name never comes back."""
    assert Escalation().rule(Signal.WORKER_LOST, ScopeKind.WORKER) is None


def test_a_repository_is_isolated_before_what_it_shares_is_throttled() -> None:
    """So a hostile repository does not take its agent or its worker along."""
    numbers = Escalation().thresholds

    for shared in (ScopeKind.AGENT, ScopeKind.WORKER):
        assert numbers[ScopeKind.REPOSITORY].isolate < numbers[shared].throttle


def test_the_settings_know_the_same_signals_and_numbers() -> None:
    """Their defaults and names are copies, because they stand on a lower floor."""
    chosen, numbers = EscalationSettings(), Escalation()

    for scope, counts in (
        (ScopeKind.AGENT, chosen.agent),
        (ScopeKind.REPOSITORY, chosen.repository),
        (ScopeKind.WORKER, chosen.worker),
    ):
        found = numbers.thresholds[scope]
        assert tuple(getattr(found, level) for level in Level) == counts
    assert frozenset(chosen.warn_only) == numbers.warn_only
    annotation = EscalationSettings.model_fields["warn_only"].annotation
    (names, _) = get_args(annotation)
    assert set(get_args(names)) == set(Signal)
