"""Levels of agents, repositories and workers: what raises them, what they do, what ends them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from internal.control.escalation import (
    Escalation,
    Level,
    ScopeKind,
    Signal,
    Thresholds,
    encode_rules,
)
from internal.errors import Fenced
from internal.task.escalations import Escalations, is_of, scope_of
from internal.task.model import Claim
from internal.task.queue import Held, Lane
from tests.support.queue_lab import Lab

pytestmark = pytest.mark.live_keys

_NEVER = Thresholds()
_LADDER = Thresholds(warn=1, throttle=2, isolate=3, stop=4)
_EVENTS = " ".join(f"escalation.{word}" for word in ("warned", "throttled", "isolated", "stopped"))


def _numbers(scope: ScopeKind, ladder: Thresholds = _LADDER) -> Escalation:
    """Only *scope* has levels."""
    thresholds = {kind: ladder if kind is scope else _NEVER for kind in ScopeKind}
    return Escalation(thresholds=thresholds, window_seconds=600, quiet_seconds=60)


_REPOSITORY = _numbers(ScopeKind.REPOSITORY)


async def _signal(lab: Lab, claim: Claim, numbers: Escalation = _REPOSITORY) -> None:
    await lab.queue.signal(claim, encode_rules(numbers.rule, [Signal.SILENCE]))


async def _show(
    lab: Lab,
    times: int,
    *,
    tenant: str = "default",
    repo: str = "r",
    numbers: Escalation = _REPOSITORY,
) -> None:
    """So many runs that show a signal and end."""
    for _ in range(times):
        claim = await lab.take_new(tenant, repo)
        await _signal(lab, claim, numbers)
        await lab.run(claim)


async def _level(lab: Lab, scope: str) -> str | None:
    found = (await lab.world()).get(f"escalation:{scope}")
    return found.get("level") if found else None


async def _release(lab: Lab, scope: str) -> bool:
    return await Escalations(lab.redis, lab.keys).release(scope)


async def _webhooks(lab: Lab) -> list[dict[str, Any]]:
    world = await lab.world()
    bodies = [value for _, value in world.matching(r"tenant:[^:]+:task:escalation-.*:bodies")]
    told = [json.loads(text) for hooks in bodies for text in hooks.values()]
    return sorted(told, key=lambda body: str(body["at"]))


async def test_signals_raise_a_repository_level_by_level(lab: Lab) -> None:
    """Each change once: in the log of the run that brought it, as webhook and as a counter."""
    lab.twice = True
    await lab.subscribe("ep", _EVENTS)
    refs: list[str] = []
    for _ in range(3):
        refs.append(await lab.create())
        claim = await lab.take()
        await _signal(lab, claim)
        await lab.sleep(1)
        await lab.run(claim)

    world = await lab.world()
    told = [
        event["data"] for ref in refs for event in world.events(ref) if event["type"] == "control"
    ]
    assert [event["level"] for event in told] == ["warn", "throttle", "isolate"]
    assert told[0] == {"scope": "repo:default:r", "level": "warn", "reason": "silence"}
    hooks = await _webhooks(lab)
    assert [hook["type"] for hook in hooks] == [
        "escalation.warned",
        "escalation.throttled",
        "escalation.isolated",
    ]
    assert hooks[2] == {
        "type": "escalation.isolated",
        "scope": "repo:default:r",
        "level": "isolate",
        "reason": "silence",
        "signals": 3,
        "repo_url": (await lab.document(refs[0]))["repo_url"],
        "at": hooks[2]["at"],
    }
    counters = world.get("counters")
    assert counters["signals:silence"] == "3"
    assert [counters[f"escalations:repo:{word}"] for word in ("warned", "isolated")] == ["1", "1"]


async def test_a_throttled_repository_runs_one_at_a_time_until_it_was_quiet(lab: Lab) -> None:
    """The second task waits at the repository's cap; other repositories are not touched."""
    await _show(lab, 2)
    for repo in ("r", "r", "s"):
        await lab.create(repo=repo)

    claims = [await lab.take(), await lab.take()]
    assert [claim.task.repo_url[-1] for claim in claims] == ["r", "s"]
    assert await lab.claim() is None

    await lab.sleep(61)
    await lab.beat("w1", "h1", claims)
    await lab.reap()
    await lab.reap()
    assert await _level(lab, "repo:default:r") is None
    assert (await lab.take()).task.repo_url[-1] == "r"
    assert "signals:repo:default:r" not in (await lab.world()).values


async def test_a_signal_puts_off_the_end_of_a_level(lab: Lab) -> None:
    """Quiet means quiet: what shows a signal each half minute stays throttled."""
    await _show(lab, 2, numbers=_numbers(ScopeKind.REPOSITORY, Thresholds(warn=1, throttle=2)))
    for _ in range(4):
        await lab.sleep(40)
        await _show(lab, 1, numbers=_numbers(ScopeKind.REPOSITORY, Thresholds(warn=1, throttle=2)))
        await lab.reap()

    assert await _level(lab, "repo:default:r") == "throttle"


async def test_an_isolated_repository_waits_for_an_operator(lab: Lab) -> None:
    """Nothing new starts there, however long it is quiet; a release lets all go on, from zero."""
    await _show(lab, 3)
    waiting = await lab.create()
    assert await lab.claim() is None
    await lab.sleep(86_400)
    await lab.reap()
    document = await lab.document(waiting)
    assert (document["at"], document["wait_reason"]) == ("gate hold:repo:default:r", "breaker")

    lab.twice = True
    assert await _release(lab, scope_of("hold:repo:default:r"))
    assert not await _release(lab, "repo:default:r")
    lab.twice = False
    await lab.reap()

    claim = await lab.take()
    await _signal(lab, claim)
    assert await _level(lab, "repo:default:r") == "warn"


async def test_what_runs_in_a_stopped_scope_is_handed_back_uncharged(lab: Lab) -> None:
    """The heartbeat tells each claim; it waits at the hold, and the release lets it run again."""
    numbers = _numbers(ScopeKind.REPOSITORY, Thresholds(isolate=1, stop=2))
    for _ in range(3):
        await lab.create()
    claims = [await lab.take() for _ in range(3)]
    await _signal(lab, claims[0], numbers)
    assert await lab.beat("w1", "h1", claims) == [0, 1, 1, 1]

    await _signal(lab, claims[1], numbers)

    assert await _level(lab, "repo:default:r") == "stop"
    assert await lab.beat("w1", "h1", claims) == [0, 5, 5, 5]
    for claim in claims:
        await lab.queue.hand_back(claim, lab.operation(), reason="escalated")
    assert await lab.claim() is None
    assert await _release(lab, "repo:default:r")
    await lab.reap()
    again = [await lab.take() for _ in range(3)]
    assert [claim.task.lost for claim in again] == [0, 0, 0]
    assert await lab.beat("w1", "h1", again) == [0, 1, 1, 1]


async def test_a_claim_that_was_on_its_way_is_told_too(lab: Lab) -> None:
    """REAP looks again at what is stopped: a mark that was missed is made up for."""
    claim = await lab.take_new("default")
    await _signal(lab, claim, _numbers(ScopeKind.REPOSITORY, Thresholds(stop=1)))
    await lab.redis.hdel(lab.keys.task("default", claim.task.id), "halt")

    await lab.sleep(1)
    await lab.beat("w1", "h1", [claim])
    await lab.reap()

    assert await lab.beat("w1", "h1", [claim]) == [0, 5]


async def test_one_tenant_alone_takes_no_agent_from_the_others(lab: Lab) -> None:
    """Its signals count for at most half of what a level beyond warn needs, however many."""
    numbers = _numbers(ScopeKind.AGENT, Thresholds(warn=1, throttle=4, isolate=6, stop=8))
    await lab.create("b", repo="x")
    await _show(lab, 20, tenant="a", numbers=numbers)
    assert await _level(lab, "agent:demo") == "warn"

    await _show(lab, 2, tenant="b", numbers=numbers)
    assert await _level(lab, "agent:demo") == "throttle"
    await _show(lab, 1, tenant="b", numbers=numbers)
    assert await _level(lab, "agent:demo") == "isolate"


async def test_a_single_tenant_can_lose_its_agent(lab: Lab) -> None:
    """Where nobody else is, there is nobody to protect."""
    await _show(lab, 3, numbers=_numbers(ScopeKind.AGENT))

    assert await _level(lab, "agent:demo") == "isolate"
    await lab.create(repo="another")
    assert await lab.claim() is None


async def test_a_repository_of_one_tenant_is_not_that_of_another(lab: Lab) -> None:
    """The same URL in another tenant goes on."""
    await _show(lab, 3, tenant="a")

    await lab.create("a")
    await lab.create("b")

    assert (await lab.take()).task.tenant == "b"
    assert await lab.claim() is None


async def test_a_throttled_and_an_isolated_worker_leave_the_work_to_others(lab: Lab) -> None:
    """One run at a time, then none; whoever may take it is rung for."""
    numbers = _numbers(ScopeKind.WORKER)
    await lab.beat("w1", "h1", [])
    first = await lab.take_new("default", "a")
    second = await lab.take_new("default", "b")
    await _signal(lab, first, numbers)
    await _signal(lab, second, numbers)
    await lab.create(repo="c")
    with pytest.raises(Held):
        await lab.claim()
    await lab.run(second)
    await lab.run(first)
    third = await lab.take()  # one at a time
    await _signal(lab, third, numbers)
    await lab.create(repo="d")
    with pytest.raises(Held):
        await lab.claim()
    await lab.run(third)
    await lab.redis.delete(lab.keys.bell("agent", ""))
    with pytest.raises(Held):
        await lab.claim()

    assert await lab.redis.exists(lab.keys.bell("agent", ""))
    other = await lab.take("w2", "h2")
    await lab.run(other)
    assert await _release(lab, "worker:w1")
    await lab.create(repo="e")
    await lab.take()


async def test_a_stopped_worker_keeps_what_it_publishes(lab: Lab) -> None:
    """Publishing runs no agent; a claim of an agent is handed back."""
    numbers = _numbers(ScopeKind.WORKER, Thresholds(stop=1))
    ref = await lab.create()
    await lab.run(await lab.take())
    await lab.publish(ref)
    publishing = await lab.take(lane=Lane.PUBLISH)
    running = await lab.take_new("default", "other")
    await lab.beat("w1", "h1", [])

    await _signal(lab, running, numbers)

    assert await lab.beat("w1", "h1", [publishing, running]) == [0, 1, 5]


async def test_the_level_of_a_worker_goes_with_it(lab: Lab) -> None:
    """The name of a dead worker comes never back: nothing of it stays."""
    claim = await lab.take_new("default")
    await _signal(lab, claim, _numbers(ScopeKind.WORKER, Thresholds(isolate=1)))
    await lab.run(claim)
    await lab.sleep(120)
    await lab.reap()

    world = await lab.world()
    assert "escalation:worker:w1" not in world.values
    assert not [name for name in world.get("limits") if "worker:w1" in name]
    assert not world.get("escalations")


async def test_the_limits_of_the_settings_leave_a_throttle_alone(lab: Lab) -> None:
    """A process that starts writes all limits anew; what an escalation lowered stays low."""
    await _show(lab, 2)
    await lab.store.set_limits({"repo:*": 5})
    for _ in range(2):
        await lab.create()

    await lab.take()
    assert await lab.claim() is None


async def test_signals_of_long_ago_count_no_more(lab: Lab) -> None:
    """Only those in the window count together."""
    for _ in range(5):
        await _show(lab, 1)
        await lab.sleep(601)
        await lab.reap()

    assert await _level(lab, "repo:default:r") is None


async def test_a_fenced_run_signals_nothing(lab: Lab) -> None:
    """What a zombie saw says nothing any more."""
    claim = await lab.take_new("default")
    await lab.lose()

    with pytest.raises(Fenced):
        await _signal(lab, claim)

    assert "signals:repo:default:r" not in (await lab.world()).values


async def test_a_lost_worker_is_a_signal_of_what_it_ran(lab: Lab) -> None:
    """REAP counts it with the loss, for agent and repository."""
    rules = encode_rules(Escalation().rule, [Signal.WORKER_LOST])
    claim = await lab.take_new("default")
    for _ in range(4):
        await lab.sleep(3)
        await lab.beat("bystander", "elsewhere", [])

    await lab.reap(loss_rules=rules)

    world = await lab.world()
    assert world.get("counters")["signals:worker_lost"] == "1"
    kinds = {match[1] for match, _ in world.matching(r"signals:(\w+):.*")}
    assert kinds == {"agent", "repo"}
    assert world.names(f"default/{claim.task.id}")[-1] == "system/state"


async def test_endpoints_of_another_tenant_hear_nothing_of_a_repository(lab: Lab) -> None:
    """A repository's level is told to its own tenant, an agent's to the operator's."""
    for tenant in ("default", "a", "b"):
        await lab.subscribe(f"ep-{tenant}", _EVENTS, tenant=tenant)
    await _show(lab, 1, tenant="a")
    await _show(lab, 1, tenant="b", repo="x", numbers=_numbers(ScopeKind.AGENT))

    world = await lab.world()
    told = {m[1]: m[2] for m, _ in world.matching(r"tenant:(\w+):task:(escalation-[0-9-]+):bodies")}
    assert set(told) == {"a", "default"}
    text = json.dumps(await _webhooks(lab))
    assert "t1" not in text


async def test_levels_are_listed_as_they_are(lab: Lab) -> None:
    """With the signal that raised each last, and how many there were."""
    await _show(lab, 1, tenant="a", numbers=_numbers(ScopeKind.AGENT))
    await _show(lab, 2)

    agent, repository = await Escalations(lab.redis, lab.keys).list()

    assert (agent.scope, agent.kind, agent.level) == ("agent:demo", ScopeKind.AGENT, Level.WARN)
    assert (repository.scope, repository.level) == ("repo:default:r", Level.THROTTLE)
    assert (repository.reason, repository.signals) == (Signal.SILENCE, 2)
    assert repository.since <= repository.changed_at
    assert (agent.repo_url, repository.repo_url) == (None, "https://example.org/r")


def test_a_tenant_may_release_its_own_repositories_only() -> None:
    """What is shared is the operator's, whose tenant is the first one."""
    for scope in ("repo:a:r", "repo:ab:r", "agent:demo", "worker:w"):
        assert is_of(scope, None)
        assert is_of(scope, "a") == (scope == "repo:a:r")


def test_every_level_has_a_word_for_its_webhook() -> None:
    """Level and type of the webhook belong together."""
    assert len(_EVENTS.split()) == len(Level)
