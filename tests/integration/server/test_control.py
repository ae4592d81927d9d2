"""What holds runs back, over HTTP: shown, released, noted; a claimed task shows its permit."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from datetime import datetime, timedelta

import httpx2
import pytest

from internal.access.resolver import CONFIGURED
from internal.agent.model import Usage
from internal.control.breaker import BreakerRule, Sample, agent_key, endpoint_key
from internal.control.escalation import Escalation, ScopeKind, Signal, Thresholds, encode_rules
from internal.ids import random_token
from internal.task.judgement import Judgement
from internal.task.queue import Lane
from internal.task.store import TaskStore
from tests.support.service import KEYS, Service, body
from tests.support.shut_gate import shut_gate

pytestmark = pytest.mark.live_keys

CONTROL = "/api/v1/control"


async def test_a_shut_gate_is_shown_and_released(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """By an administrator of `default`, who sees what all share; the audit log has it."""
    await shut_gate(service.redis, KEYS, "hold:agent:demo")
    made = await client.post("/api/v1/tasks", json=body())
    assert await service.queue.claim(Lane.AGENT, worker="w", home="h") is None
    waiting = (await client.get(f"/api/v1/tasks/{made.json()['id']}")).json()

    shown = (await client.get(CONTROL)).json()["gates"]
    released = await client.post(f"{CONTROL}/release", json={"scope": "hold:agent:demo"})
    again = await client.post(f"{CONTROL}/release", json={"scope": "hold:agent:demo"})

    assert waiting["wait"] == {"reason": "breaker", "until": None, "gate": "hold:agent:demo"}
    assert [(gate["key"], gate["state"], gate["waiting"]) for gate in shown] == [
        ("hold:agent:demo", "shut", 1)
    ]
    assert (released.status_code, released.json()) == (200, {"scope": "hold:agent:demo"})
    assert again.status_code == 404
    entries = await service.deps.audit.list("default", limit=10)
    assert [(e.action, e.object) for e in entries if e.action.startswith("control")] == [
        ("control.release", "hold:agent:demo")
    ]
    left = (await client.get(CONTROL)).json()["gates"]
    assert [(gate["state"], gate["waiting"]) for gate in left] == [("open", 1)]  # REAP is next


async def test_another_tenants_administrator_opens_nothing_that_all_share(
    service: Service,
) -> None:
    """It sees that it is shut, because its own tasks wait there."""
    await shut_gate(service.redis, KEYS, "hold:agent:demo")
    made = await service.deps.tokens.make(CONFIGURED, "t", frozenset({"admin"}), tenant="other")
    async with service.client(made.text) as other:
        shown = await other.get(CONTROL)
        refused = await other.post(f"{CONTROL}/release", json={"scope": "hold:agent:demo"})

    assert [gate["key"] for gate in shown.json()["gates"]] == ["hold:agent:demo"]
    assert refused.status_code == 404


@pytest.mark.parametrize("scope", ["", "a b", "x" * 4097, 7, None])
async def test_a_scope_is_a_word(client: httpx2.AsyncClient, scope: object) -> None:
    """Refused by name."""
    answer = await client.post(f"{CONTROL}/release", json={"scope": scope})

    assert answer.status_code == 400
    assert "scope" in answer.json()["fields"]


async def test_a_limit_is_raised_and_not_released(client: httpx2.AsyncClient) -> None:
    """What is used up is shown as shut; who tries to release it is told what to do instead."""
    answer = await client.post(f"{CONTROL}/release", json={"scope": "budget:tenant:default"})

    assert answer.status_code == 404
    assert "raise the limit in the settings" in answer.json()["message"]


async def test_a_claimed_task_shows_its_permit(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """Attempt, since when, until when, and the gates it passed; nothing when it is over."""
    task = (await client.post("/api/v1/tasks", json=body())).json()["id"]
    claim = await service.claim()

    permit = (await client.get(f"/api/v1/tasks/{task}")).json()["permit"]
    await service.finish(claim)
    after = (await client.get(f"/api/v1/tasks/{task}")).json()

    granted, deadline = (datetime.fromisoformat(permit[n]) for n in ("granted_at", "deadline"))
    assert permit["attempt"] == 1
    assert deadline - granted == timedelta(seconds=300)
    assert {"tenant:default", "agent:demo", "breaker:agent:demo"} <= set(permit["gates"])
    assert "permit" not in after


async def test_levels_and_pressure_are_shown_and_a_scope_is_released(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """Each sees its own repositories and what all share; a worker is the operator's alone."""
    numbers = Escalation(thresholds=dict.fromkeys(ScopeKind, Thresholds(isolate=1)))
    made = (await client.post("/api/v1/tasks", json=body())).json()["id"]
    claim = await service.claim()
    await service.queue.signal(claim, encode_rules(numbers.rule, [Signal.SILENCE]))
    await service.finish(claim)
    other_token = await service.deps.tokens.make(
        CONFIGURED, "t", frozenset({"admin"}), tenant="other"
    )

    shown = (await client.get(CONTROL)).json()
    async with service.client(other_token.text) as other:
        seen = (await other.get(CONTROL)).json()["escalations"]
        refused = [
            (await other.post(f"{CONTROL}/release", json={"scope": row["scope"]})).status_code
            for row in shown["escalations"]
        ]
    scopes = [row["scope"] for row in shown["escalations"]]
    answers = [
        (await client.post(f"{CONTROL}/release", json={"scope": scope})).status_code
        for scope in ("hold:agent:demo", *scopes)
    ]

    assert {scope.partition(":")[0] for scope in scopes} == {"agent", "repo", "worker"}
    assert {row["level"] for row in shown["escalations"]} == {"isolate"}
    assert [row["scope"] for row in seen] == ["agent:demo"]
    assert refused == [404, 404, 404]
    assert answers[0] == 200  # by the gate that isolates it
    assert sorted(answers[1:]) == [200, 200, 404]
    assert shown["pressure"]["answer"] == "accept"
    assert (await client.get(CONTROL)).json()["escalations"] == []
    assert (await client.post(f"/api/v1/tasks/{made}/instruct", json={"prompt": "x"})).is_success
    assert await service.queue.claim(Lane.AGENT, worker="w", home="h") is not None


async def test_breakers_are_shown_with_what_their_windows_hold(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """Which endpoints there are is the operator's to know; a release lets all go on at once."""
    agent, endpoint = agent_key("demo"), endpoint_key("gateway.example.com")
    rule = BreakerRule(consecutive=2)
    await client.post("/api/v1/tasks", json=body())
    claim = await service.claim()
    once = Sample(key=agent, failed=True, rule=rule)
    broken = [Sample(key=endpoint, failed=True, rule=rule)] * 2
    await service.queue.judge(claim, Judgement(samples=(once, *broken)), random_token())
    await service.finish(claim)
    made = await service.deps.tokens.make(CONFIGURED, "t", frozenset({"admin"}), tenant="other")

    shown = (await client.get(CONTROL)).json()
    async with service.client(made.text) as other:
        seen = (await other.get(CONTROL)).json()
    released = await client.post(f"{CONTROL}/release", json={"scope": endpoint})
    after = (await client.get(CONTROL)).json()["breakers"]

    first, second = shown["breakers"]
    assert (first["key"], first["state"]) == (agent, "closed")
    assert (first["calls"], first["failed"], first["consecutive"]) == (1, 1, 1)
    assert (second["key"], second["state"], second["calls"]) == (endpoint, "open", 0)
    assert second["why"] == "2 failures in a row"
    assert [gate["key"] for gate in shown["gates"]] == [endpoint]
    assert [row["key"] for row in seen["breakers"]] == [agent]
    assert not seen["gates"]
    assert released.status_code == 200
    assert [row["state"] for row in after] == ["closed", "closed"]


async def test_the_spending_of_the_day_is_shown_with_its_limits(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """Of each budget above a run; another tenant sees neither it nor what all spend together."""
    limits = {"budget:tenant:*:usd": 2, "budget:agent:demo:tokens": 100}
    await TaskStore(service.redis, KEYS).set_limits(limits)
    await client.post("/api/v1/tasks", json=body())
    claim = await service.queue.claim(Lane.AGENT, worker="w", home="h")
    assert claim is not None
    await service.queue.spend(claim, Usage(input_tokens=7, cost_usd=0.5, unpriced_tokens=3))
    made = await service.deps.tokens.make(CONFIGURED, "t", frozenset({"admin"}), tenant="other")

    budgets = (await client.get(CONTROL)).json()["budgets"]
    async with service.client(made.text) as other:
        hidden = (await other.get(CONTROL)).json()["budgets"]

    spent = {"usd": 0.5, "tokens": 7, "unpriced_tokens": 3}
    agent, repo, tenant = budgets
    assert agent == {"key": "budget:agent:demo", **spent, "tokens_limit": 100}
    assert tenant == {"key": "budget:tenant:default", **spent, "usd_limit": 2}
    assert repo["key"].startswith("budget:repo:default:")
    assert repo["repo_url"] == body()["repo_url"]
    assert hidden == []
