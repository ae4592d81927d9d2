"""Levels as real runs raise them and real workers obey them."""

from __future__ import annotations

from internal.task.escalations import Escalations
from internal.task.model import Reason, Task
from internal.task.state import State
from internal.webhook.model import EventType
from tests.support.chaos_site import TENANT, Site
from tests.support.receiver import Receiver
from tests.support.waiting import until

_OFF = "0,0,0,0"


def _settings(**levels: str) -> dict[str, str]:
    """Silence of a second counts, and only for what is named."""
    named = {"agent": _OFF, "repository": _OFF, "worker": _OFF, **levels}
    prefix = "CONTROL__ESCALATION__"
    return {"TASKS__SILENCE_SECONDS": "1", **{f"{prefix}{k.upper()}": v for k, v in named.items()}}


async def _silent(site: Site) -> Task:
    """A run whose agent falls silent."""
    task = await site.submit("say begun\nhang", silence_seconds=1)
    found = await site.finished(task)
    assert found.failure is not None
    assert found.failure.reason is Reason.IDLE_TIMEOUT
    return found


async def _release(site: Site, scope: str) -> bool:
    return await Escalations(site.core.redis, site.core.keys).release(scope)


async def _scope(site: Site, kind: str) -> str:
    (found,) = await Escalations(site.core.redis, site.core.keys).list()
    assert found.scope.startswith(f"{kind}:")
    return found.scope


async def test_an_isolated_repository_waits_until_it_is_released(site: Site) -> None:
    """Another repository goes on; who chose so hears of it; a release lets the waiting run."""
    async with Receiver().listening() as receiver, site.worker(**_settings(repository="1,0,2,0")):
        events = frozenset({EventType.ISOLATED, EventType.RELEASED})
        await site.core.webhooks.create(TENANT, url=receiver.url(), events=events)
        await _silent(site)
        second = await _silent(site)
        told = [e["data"] for e in await site.events(second.id) if e["event"] == "escalation"]
        scope = await _scope(site, "repo")
        assert told == [{"scope": scope, "level": "isolate", "reason": "silence"}]

        waiting = await site.submit("say done")
        found = await site.until_task(waiting, "waiting", lambda task: task.wait)
        assert found.wait is not None
        assert (found.status, found.wait.reason) == (State.PENDING, "breaker")

        assert await _release(site, scope)
        assert (await site.finished(waiting)).status is State.COMPLETED
        came = await receiver.wait_for(2)
    types = [request.headers["x-codeforge-event"] for request in came]
    assert types == ["escalation.isolated", "escalation.released"]
    await site.settle()


async def test_what_runs_in_a_stopped_repository_is_ended_and_waits(site: Site) -> None:
    """Its process is gone, it lost no life, and after the release it runs again from the start."""
    async with site.worker(**_settings(repository="0,0,0,1")):
        victim = await site.submit("say begun\nhang")
        await site.until_said(victim, "begun")
        await _silent(site)
        found = await site.until_task(
            victim, "handed back", lambda task: task.wait and task.wait.reason == "breaker"
        )
        assert (found.status, found.lost, found.attempt) == (State.PENDING, 0, 1)
        await until("its agent is gone", lambda: not site.agents())

        assert await Escalations(site.core.redis, site.core.keys).release(
            await _scope(site, "repo")
        )
        await site.until_said(victim, "begun", times=2)
        await site.cancel(victim)
        await site.finished(victim)
    await site.settle()


async def test_an_isolated_worker_leaves_the_work_to_another(site: Site) -> None:
    """It stays and gets nothing, its neighbour does all."""
    async with site.worker(**_settings(worker="0,0,1,0")) as first:
        await _silent(site)
        assert await _scope(site, "worker") == f"worker:{first.id}"
        async with site.worker("b") as second:
            tasks = [await site.submit("say done") for _ in range(3)]
            for task in tasks:
                await site.finished(task)
                claims = [e["data"] for e in await site.events(task) if "worker" in e["data"]]
                assert [claim["worker"] for claim in claims] == [second.id]
        assert await _release(site, f"worker:{first.id}")
        await site.finished(await site.submit("say done"))
    await site.settle()
