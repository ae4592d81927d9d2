"""Gates as they are stored with a task."""

from __future__ import annotations

import pytest

from internal.control.gate import Gate, GateKind, encode_gates, gates_for


def test_the_tenants_own_gate_stands_first() -> None:
    """CLAIM asks it first, because it parks the whole tenant."""
    gates = gates_for(tenant="a", repo_key="x-1", agent="demo")

    assert gates[0].key == "tenant:a"
    assert [gate.key for gate in gates if gate.kind is GateKind.CAP] == [
        *("tenant:a", "repo:a:x-1", "agent:demo")
    ]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("tenant:rate", GateKind.CAP),
        ("dedup:a:budget", GateKind.CAP),
        ("rate:repo:a:x", GateKind.RATE),
        ("budget:agent:demo", GateKind.BUDGET),
        ("breaker:endpoint:h", GateKind.UNTIL),
        ("quota:a:f", GateKind.UNTIL),
        ("hold:repo:a:x", GateKind.UNTIL),
    ],
)
def test_a_gates_kind_is_told_by_the_first_word_of_its_key(key: str, kind: GateKind) -> None:
    """So nobody can be asked to pass one gate in two ways."""
    assert Gate(key=key).kind is kind


@pytest.mark.parametrize(("key", "cost"), [("", 1), ("a\nb", 1), ("tenant:a", 0)])
def test_what_cannot_be_stored_as_a_line_is_no_gate(key: str, cost: int) -> None:
    """A policy of somebody else's that makes one fails where it stands."""
    with pytest.raises(ValueError, match="not a gate"):
        Gate(key=key, cost=cost)


def test_a_gate_is_one_line() -> None:
    """Kind, cost and key; a key may have spaces and colons."""
    gates = (Gate(key="tenant:a"), Gate(key="repo:a:b c:d", cost=2))

    assert encode_gates(gates) == "cap 1 tenant:a\ncap 2 repo:a:b c:d\n"
    assert encode_gates(()) == ""
