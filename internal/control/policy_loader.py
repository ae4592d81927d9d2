"""
A policy of somebody else's: a Python package that brings one names it as an entry point.

    [project.entry-points."codeforge.policies"]
    nights = "acme_policy:Nights"

What it names is called with the settings' own policy and returns the one to go by, so it can change
one decision and leave the others. A broken one stops the process: to run by other rules than those
the operator chose would be worse than not to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import cast

from internal.control.breaker import BreakerRule, agent_key
from internal.control.escalation import ScopeKind, Signal
from internal.control.policy import Policy, RunFacts
from internal.control.pressure import Load
from internal.control.quota import UsedUp
from internal.control.retry import Failed, FailureClass
from internal.errors import Invalid

GROUP = "codeforge.policies"
_SOMEBODY = RunFacts(tenant="default", repo_key="example", agent="demo")


def load_policy(name: str, settings_policy: Policy) -> Policy:
    """
    The policy that the entry point *name* makes of *settings_policy*.

    Raises:
        Invalid: nothing has that name, it cannot be loaded or made, or it is no policy.
    """
    found = entry_points(group=GROUP)
    named = [entry for entry in found if entry.name == name]
    if not named:
        known = ", ".join(sorted({entry.name for entry in found})) or "none"
        raise Invalid(f"control.policy: no installed package has a policy {name!r}; known: {known}")
    try:
        make = cast("Callable[[Policy], object]", named[0].load())
        policy = make(settings_policy)
    except Exception as error:  # whatever a stranger's code raises, we do not start
        raise _broken(name, f"{type(error).__name__}: {error}") from error
    if not isinstance(policy, Policy):
        raise _broken(name, "it lacks methods of a policy")
    _try(name, policy)
    return policy


def _try(name: str, policy: Policy) -> None:
    """Ask it once, so that what is wrong shows now and not at the first task."""
    try:
        policy.gates(_SOMEBODY)
        policy.escalation(Signal.SILENCE, ScopeKind.REPOSITORY)
        policy.pressure(Load())
        policy.retry(Failed(kind=FailureClass.PASSING, repeats=0))
        policy.quota_wait(UsedUp(seconds=None, waits=0, has_next=False))
        rule = cast("object", policy.breaker(agent_key("demo")))
        policy.budget(_SOMEBODY)
        limits = {field: float(limit) for field, limit in policy.limits().items()}
    except Exception as error:
        raise _broken(name, f"{type(error).__name__}: {error}") from error
    if not isinstance(rule, BreakerRule):
        raise _broken(name, "breaker must return a BreakerRule")
    bad = [field for field, limit in limits.items() if not math.isfinite(limit) or limit < 0]
    if bad:
        raise _broken(name, f"not a limit: {', '.join(sorted(bad))}")


def _broken(name: str, why: str) -> Invalid:
    return Invalid(f"control.policy: the policy {name!r} is broken: {why}")
