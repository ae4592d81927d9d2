"""Gates as they are stored with a task."""

from __future__ import annotations

from internal.control.gate import Gate, default_limits, encode_gates, gates_for


def test_the_tenants_own_gate_stands_first() -> None:
    """CLAIM asks it first, because it parks the whole tenant."""
    gates = gates_for(tenant="a", repo_key="host/x")

    assert [gate.key for gate in gates] == ["tenant:a", "repo:a:host/x"]


def test_a_gate_is_one_line() -> None:
    """Kind, cost and key; a key may have spaces and colons."""
    gates = (Gate(key="tenant:a"), Gate(key="repo:a:b c:d", cost=2))

    assert encode_gates(gates) == "cap 1 tenant:a\ncap 2 repo:a:b c:d\n"
    assert encode_gates(()) == ""


def test_the_limits_of_settings_are_those_of_a_class() -> None:
    """One tenant or repository may have its own beside them."""
    limits = default_limits(tenant_concurrency=3, repo_concurrency=0)

    assert limits == {"tenant:*": 3, "repo:*": 0}
