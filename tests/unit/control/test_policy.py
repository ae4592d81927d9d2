"""What the settings say becomes gates and limits."""

from __future__ import annotations

from internal.control.policy import RunFacts, SettingsPolicy, Share

RUN = RunFacts(tenant="a", repo_key="app-1", agent="demo")


def test_tables_become_limits_of_gates_and_weights() -> None:
    """A name becomes its gate's own limit, `*` that of the class; what is not said is nothing."""
    policy = SettingsPolicy(
        tenants={"*": Share(concurrency=3), "a": Share(weight=2.5, usd_per_day=10.5)},
        repositories={"*": Share(concurrency=0), "app-1": Share(starts_per_minute=4)},
        agents={"demo": Share(concurrency=1, tokens_per_day=1000)},
    )

    assert policy.limits() == {
        "dedup:*": 1,
        "tenant:*": 3,
        "budget:tenant:a:usd": 10.5,
        "weight:a": 2.5,
        "repo:*": 0,
        "rate:repo:*:app-1": 4,
        "agent:demo": 1,
        "budget:agent:demo:tokens": 1000,
    }


def test_a_run_stands_under_every_gate_whoever_has_a_limit() -> None:
    """A limit that comes later holds for what is queued already."""
    policy = SettingsPolicy(tenants={}, repositories={}, agents={})

    keys = [gate.key for gate in policy.gates(RUN)]

    assert keys[0] == "tenant:a"
    assert set(keys[1:]) == {
        *("repo:a:app-1", "agent:demo"),
        *("rate:tenant:a", "rate:repo:a:app-1", "rate:agent:demo"),
        *("budget:tenant:a", "budget:repo:a:app-1", "budget:agent:demo"),
        *("hold:agent:demo", "hold:repo:a:app-1", "breaker:agent:demo"),
    }
