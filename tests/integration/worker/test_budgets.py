"""Budgets of real runs: measured while the agent works, warned of, and all is kept at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from internal.agent.model import Usage
from internal.errors import Conflict
from internal.task.dayspending import DaySpending
from internal.task.model import Claim, ConfigChanges, Reason, Task
from internal.task.queue import TaskQueue
from internal.task.state import State
from tests.support.chaos_site import TENANT, Site
from tests.support.mock_claude import write_mock_claude

SPENDS = "SPEND 4000"
"""0.1 USD with each answer, ten answers a second at most."""


@pytest.fixture
async def mocked(site: Site) -> Site:
    """A site whose Claude Code is the mock."""
    program = write_mock_claude(site.directory / "claude")
    site.variables["CODEFORGE_CLI__CLAUDE_CODE__PATH"] = str(program)
    return site


async def submit(site: Site, prompt: str, **config: Any) -> str:
    return await site.submit(prompt, cli="claude-code", **config)


async def told(site: Site, task: str, event: str) -> list[dict[str, Any]]:
    """The data of control events."""
    return [
        e["data"] for e in await site.events(task) if (e["type"], e["event"]) == ("control", event)
    ]


def reason(task: Task) -> Reason | None:
    return task.failure.reason if task.failure else None


@pytest.mark.parametrize(
    ("prompt", "limits"),
    [
        (SPENDS, {"max_budget_usd": 0.5}),
        (SPENDS, {"max_tokens": 20_000}),
        (SPENDS, {"max_turns": 5}),
        ("TOOL", {"tool_seconds": 1}),
    ],
    ids=["usd", "tokens", "turns", "tool"],
)
async def test_a_budget_ends_a_run_in_the_middle_and_keeps_what_it_did(
    mocked: Site, prompt: str, limits: dict[str, float]
) -> None:
    """Warned before; its name and numbers are in the failure; work, session and usage are there."""
    ((name, limit),) = limits.items()
    async with mocked.worker():
        task = await submit(mocked, prompt, **limits)

        found = await mocked.finished(task)

    assert (found.status, reason(found)) == (State.FAILED, Reason.BUDGET_EXCEEDED)
    (warned,) = await told(mocked, task, "budget_warning")
    (over,) = await told(mocked, task, "budget_exceeded")
    assert (warned["budget"], over["budget"]) == (name, name)
    assert 0.8 * limit <= warned["used"] <= over["used"]
    assert found.failure is not None
    assert found.failure.detail is not None
    assert found.failure.detail.items() >= over.items()
    assert found.usage.output_tokens > 0
    assert found.usage.cost_usd > 0
    assert prompt.encode() in await mocked.patch(task)
    assert (await mocked.names(task))[-2:] == ["system/state", "system/task_failed"]
    await mocked.settle()


async def test_a_raised_budget_and_an_instruction_go_on_in_the_same_session(mocked: Site) -> None:
    """Not raised, it is refused and nothing changes; the CLI is given what is left."""
    async with mocked.worker():
        task = await submit(mocked, SPENDS, max_budget_usd=0.3)
        before = await mocked.finished(task)
        with pytest.raises(Conflict, match=r"config\.max_budget_usd") as refused:
            await mocked.instruct(task, "go on")
        with pytest.raises(Conflict):
            await mocked.core.service.retry(TENANT, task)
        same = await mocked.task(task)
        raised = ConfigChanges(max_budget_usd=before.usage_total.cost_usd + 0.4)

        await mocked.core.service.instruct(TENANT, task, SPENDS, raised)
        after = await mocked.finished(task)

    assert refused.value.error_code == "budget_exceeded"
    assert same == before
    assert (after.iteration, reason(after)) == (2, Reason.BUDGET_EXCEEDED)
    assert after.config.max_budget_usd == raised.max_budget_usd
    assert after.usage_total.cost_usd >= before.usage_total.cost_usd + 0.4
    assert after.usage_total.cost_usd == pytest.approx(before.usage.cost_usd + after.usage.cost_usd)
    started = [e["data"] for e in await mocked.events(task) if e["event"] == "cli_started"]
    assert [event["resumed"] for event in started] == [False, True]
    assert (await mocked.patch(task)).count(SPENDS.encode()) == 2
    await mocked.settle()


async def test_a_killed_worker_loses_no_usage(mocked: Site) -> None:
    """`kill -9`: what it had told is in the task's total, and counts against its budget."""
    worker = await mocked.start()
    task = await submit(mocked, SPENDS, max_budget_usd=1.0)
    grown = await mocked.until_task(task, "spends", lambda found: found.usage.cost_usd >= 0.2)

    worker.kill()
    async with mocked.worker():
        found = await mocked.finished(task)

    assert (found.attempt, reason(found)) == (2, Reason.BUDGET_EXCEEDED)
    assert grown.usage_total.cost_usd <= found.usage_total.cost_usd
    assert found.usage.cost_usd < found.usage_total.cost_usd
    await mocked.settle()


async def test_the_day_of_a_tenant_ends_all_its_runs(mocked: Site) -> None:
    """Warned first; the next task waits for tomorrow with the reason `budget`."""
    async with mocked.worker():
        await mocked.core.store.set_limits({"budget:tenant:*:usd": 1})
        tasks = [await submit(mocked, SPENDS) for _ in range(2)]
        ended = [await mocked.finished(task) for task in tasks]
        waiting = await submit(mocked, SPENDS)
        await mocked.until_task(waiting, "waits", lambda found: found.wait is not None)

    assert [reason(found) for found in ended] == [Reason.BUDGET_EXCEEDED] * 2
    over = [event for task in tasks for event in await told(mocked, task, "budget_exceeded")]
    warned = [event for task in tasks for event in await told(mocked, task, "budget_warning")]
    assert {(e["budget"], e["scope"], e["limit"]) for e in (*over, *warned)} == {
        ("usd_per_day", f"tenant:{TENANT}", 1)
    }
    assert len(over) == 2
    wait = (await mocked.task(waiting)).wait
    assert wait is not None
    assert wait.reason == "budget"
    await mocked.cancel(waiting)
    await mocked.settle()


async def test_a_flood_of_lines_is_no_flood_of_reports(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is told at most once a second, whatever the agent prints."""
    calls: list[object] = []
    real = TaskQueue.spend

    async def counted(queue: TaskQueue, claim: Claim, usage: Usage) -> Sequence[DaySpending]:
        calls.append(usage)
        return await real(queue, claim, usage)

    monkeypatch.setattr(TaskQueue, "spend", counted)
    async with site.worker():
        task = await site.submit("\n".join(["say something"] * 3000))
        found = await site.finished(task)

    assert found.usage.output_tokens > 3000
    assert found.started_at is not None
    assert found.finished_at is not None
    assert len(calls) <= (found.finished_at - found.started_at).total_seconds() + 2
    await site.settle()


async def test_tokens_without_a_price_are_counted_and_shown(mocked: Site) -> None:
    """The mock's model is in no table: no dollars, and no silence about it."""
    async with mocked.worker():
        task = await submit(mocked, "anything")
        found = await mocked.finished(task)

    assert (found.usage.unpriced_tokens, found.usage.cost_usd) == (200, 0)
    stats = await mocked.core.service.stats(TENANT)
    assert stats.unpriced_tokens == 200
    await mocked.settle()
