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
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import cast

from internal.control.breaker import BreakerRule, agent_key
from internal.control.budget import Budget
from internal.control.escalation import EscalationRule, ScopeKind, Signal
from internal.control.gate import Gate
from internal.control.policy import Policy, RunFacts
from internal.control.pressure import Load, Verdict
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
        answers = _answers(policy)
        limits = {field: float(limit) for field, limit in policy.limits().items()}
    except Exception as error:
        raise _broken(name, f"{type(error).__name__}: {error}") from error
    for method, (answer, kinds) in answers.items():
        if not isinstance(answer, kinds):
            raise _broken(name, f"{method} returned {type(answer).__name__}")
    bad = [field for field, limit in limits.items() if not _is_limit(field, limit)]
    if bad:
        raise _broken(name, f"not a limit: {', '.join(sorted(bad))}")


def _answers(policy: Policy) -> Mapping[str, tuple[object, tuple[type, ...]]]:
    """What each method says of somebody, and of what kind that has to be."""
    gates = cast("Sequence[object]", policy.gates(_SOMEBODY))
    strange = next((gate for gate in gates if not isinstance(gate, Gate)), Gate(key="none"))
    escalation = policy.escalation(Signal.SILENCE, ScopeKind.REPOSITORY)
    repeat = policy.retry(Failed(kind=FailureClass.PASSING, repeats=0))
    wait = policy.quota_wait(UsedUp(seconds=None, waits=0, has_next=False))
    seconds = (int, float, type(None))
    return {
        "gates": (strange, (Gate,)),
        "escalation": (escalation, (EscalationRule, type(None))),
        "pressure": (policy.pressure(Load()), (Verdict,)),
        "retry": (repeat, seconds),
        "quota_wait": (wait, seconds),
        "breaker": (policy.breaker(agent_key("demo")), (BreakerRule,)),
        "budget": (policy.budget(_SOMEBODY), (Budget,)),
    }


def _is_limit(field: str, limit: float) -> bool:
    """0 is no limit; behind a cap or a rate of less than one run a task would wait for ever."""
    is_share = field.startswith(("weight:", "budget:"))
    return math.isfinite(limit) and (limit == 0 or limit >= 1 or (is_share and limit > 0))


def _broken(name: str, why: str) -> Invalid:
    return Invalid(f"control.policy: the policy {name!r} is broken: {why}")
