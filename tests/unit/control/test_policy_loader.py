"""A package's own policy: taken when it is one, refused with the reason when it is not."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from internal.control.gate import Gate
from internal.control.policy import Policy, RunFacts, SettingsPolicy
from internal.control.policy_loader import load_policy
from internal.errors import Invalid

SETTINGS = SettingsPolicy(tenants={}, repositories={}, agents={})


class Nights:
    """A policy that changes one decision and leaves the others."""

    def __init__(self, settings: Policy) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> object:
        return getattr(self._settings, name)

    def gates(self, run: RunFacts) -> Sequence[Gate]:
        return (*self._settings.gates(run), Gate(key="rate:agent:night"))


class Endless(Nights):
    def limits(self) -> Mapping[str, float]:
        return {"tenant:a": float("inf"), "tenant:b": -1}


class Raising(Nights):
    def gates(self, run: RunFacts) -> Sequence[Gate]:
        raise KeyError(run.agent)


class Fractions(Nights):
    def limits(self) -> Mapping[str, float]:
        return {"heavy:all": 0.5, "weight:a": 0.5, "budget:tenant:*:usd": 0.5}


def saying(method: str, answer: object) -> type[Nights]:
    """A policy that answers one question with nonsense."""

    def say(*_: object) -> object:
        return answer

    return type(f"No_{method}", (Nights,), {method: say})


NONSENSE = {
    "gates": ["rate:agent:night"],
    "escalation": {"warn": 1},
    "pressure": None,
    "retry": "5",
    "quota_wait": "5",
    "breaker": 3,
    "budget": None,
}


def no_policy(settings: Policy) -> object:
    return settings.limits()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package whose policies are those above."""
    module = ModuleType("acme_policy")
    strange = [saying(method, answer) for method, answer in NONSENSE.items()]
    classes: list[type[Nights]] = [Nights, Endless, Raising, Fractions, *strange]
    policies = {policy.__name__: policy for policy in classes}
    for name, thing in {**policies, "no_policy": no_policy}.items():
        setattr(module, name, thing)
    monkeypatch.setitem(sys.modules, "acme_policy", module)
    info = tmp_path / "acme_policy-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-policy\nVersion: 1\n")
    names = (*policies, "no_policy", "missing")
    lines = "".join(f"{name.lower()} = acme_policy:{name}\n" for name in names)
    (info / "entry_points.txt").write_text(f"[codeforge.policies]\n{lines}")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.mark.usefixtures("package")
def test_a_packages_policy_is_made_from_that_of_the_settings() -> None:
    """So it can change one decision and leave the others."""
    policy = load_policy("nights", SETTINGS)

    gates = policy.gates(RunFacts(tenant="a", repo_key="r", agent="demo"))
    assert [gate.key for gate in gates][-1] == "rate:agent:night"
    assert policy.limits() == SETTINGS.limits()


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("days", "no installed package has a policy 'days'; known: .*nights"),
        ("missing", "'missing' is broken: AttributeError"),
        ("no_policy", "lacks methods"),
        ("raising", "'raising' is broken: KeyError: 'demo'"),
        ("endless", "not a limit: tenant:a, tenant:b"),
        ("fractions", "not a limit: heavy:all$"),
        *((f"no_{method}", f"broken: {method} returned") for method in NONSENSE),
    ],
)
def test_a_broken_policy_is_refused_with_the_reason(name: str, why: str) -> None:
    """To run by other rules than those the operator chose would be worse than not to run."""
    with pytest.raises(Invalid, match=why):
        load_policy(name, SETTINGS)
