"""What was delivered stays delivered: a run cancelled before its claim puts everything back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from internal.task.model import Reason
from internal.task.queue import Lane
from internal.task.store import Reply
from tests.support.queue_lab import STATE_TTL_SECONDS, Lab, published
from tests.support.queue_model import frozen, without
from tests.support.world import World, webhook_body

pytestmark = pytest.mark.live_keys

Ask = Callable[[Lab, str], Awaitable[Reply]]
ASKS: dict[str, Ask] = {
    "instruct": lambda lab, ref: lab.instruct(ref),
    "retry": lambda lab, ref: lab.retry(ref),
    "publish": lambda lab, ref: lab.publish(ref),
}
_EVERY_BYTE = "".join(map(chr, range(1, 0x250))) + '\\"/\x7f\u2028\U0001f600\x00'


async def finished(lab: Lab) -> str:
    """A failed task whose every field has a value, and odd ones."""
    ref = await lab.create()
    await lab.run_next()
    await lab.publish(ref)
    claim = await lab.take(lane=Lane.PUBLISH)
    await lab.queue.finish_pr(claim, published(), "pr")
    await lab.instruct(ref)
    await lab.run_next(failed=Reason.AGENT_FAILED)
    tenant, _, task = ref.partition("/")
    await lab.redis.hset(
        lab.keys.task(tenant, task),
        mapping={"result": _EVERY_BYTE, "pr_error": "{}", "key_source": "inline", "new": "[1e3]"},
    )
    await lab.redis.hset(lab.keys.task_iterations(tenant, task), "2.result", _EVERY_BYTE)
    return ref


def same(before: World, after: World, ref: str, *but: str) -> None:
    old, old_rows = frozen(before, ref)
    new, new_rows = frozen(after, ref)
    assert without(new, *but) == without(old, *but)
    assert {name: new_rows[name] for name in old_rows} == old_rows


@pytest.mark.parametrize("ask", ASKS)
async def test_a_cancelled_queued_run_puts_the_document_back_whole(lab: Lab, ask: str) -> None:
    """Byte for byte, with the row of the iteration, the stored diff and every index."""
    lab.twice = True
    ref = await finished(lab)
    before = await lab.world()
    await ASKS[ask](lab, ref)
    await lab.sleep(5)

    answer = await lab.store.cancel(ref)

    after = await lab.world()
    assert (answer.word, answer.rest) == ("ok", ("failed",))
    same(before, after, ref, *(["pr_error", "pr_reason", "op"] if ask == "publish" else []))
    work = "tenant:default:task:t1:work"
    assert after.values[work] == before.values[work]


@pytest.mark.parametrize("ask", ASKS)
async def test_it_is_put_back_also_after_attempts_and_waits(lab: Lab, ask: str) -> None:
    """Claimed, handed back, lost, waiting for a time: as long as it is queued, nothing is gone."""
    ref = await finished(lab)
    before = await lab.world()
    await ASKS[ask](lab, ref)
    lane = Lane.PUBLISH if ask == "publish" else Lane.AGENT
    claim = await lab.take(lane=lane)
    if ask != "publish":
        await lab.advance(claim)
    await lab.queue.hand_back(claim, "op", reason="disk_full", delay_seconds=20, repeat=True)
    await lab.sleep(21)
    await lab.reap()
    await lab.take(lane=lane)
    await lab.lose()
    await lab.lose()

    await lab.store.cancel(ref)

    after = await lab.world()
    same(before, after, ref, *(["pr_error", "pr_reason", "op"] if ask == "publish" else []))


async def test_what_is_sealed_anew_meanwhile_is_not_put_back(lab: Lab) -> None:
    """A rotation of the master key sees the document alone, and no copy of it."""
    ref = await finished(lab)
    key = lab.keys.task(*ref.split("/"))
    sealed = ("access_token", "ai_api_key", "mcp_servers")
    await lab.redis.hset(key, mapping=dict.fromkeys(sealed, "under the old key"))
    await lab.publish(ref)
    await lab.redis.hset(key, mapping=dict.fromkeys(sealed, "under the new key"))

    await lab.store.cancel(ref)

    assert await lab.redis.hmget(key, *sealed) == ["under the new key"] * 3


@pytest.mark.parametrize(
    ("ask", "final"),
    [
        ("instruct", "system/task_failed"),
        ("retry", "system/task_failed"),
        ("publish", "git/pr_failed"),
    ],
)
async def test_the_cancelled_run_still_has_its_final_event(lab: Lab, ask: str, final: str) -> None:
    """One final event, behind its state; a webhook for runs of the agent, none for a create-pr."""
    ref = await finished(lab)
    hooks = len(list((await lab.world()).matching("delivery:.*")))
    await ASKS[ask](lab, ref)

    await lab.store.cancel(ref)

    world = await lab.world()
    assert world.names(ref)[-3:] == ["system/task_cancelled", "system/state", final]
    assert world.events(ref)[-1]["data"]["error"] == "cancelled by user"
    told = [webhook_body(world, value) for _, value in world.matching("delivery:.*")]
    assert len(told) == hooks + (0 if ask == "publish" else 1)
    if ask != "publish":
        assert [b["iteration"] for b in told if b.get("error") == "cancelled by user"] == [
            3 if ask == "instruct" else 2
        ]


async def test_the_number_of_a_cancelled_follow_up_is_never_used_again(lab: Lab) -> None:
    """Its row stays, as failed; the next one has the next number."""
    ref = await lab.create()
    await lab.run_next()
    assert (await lab.instruct(ref)).rest == (2,)
    await lab.store.cancel(ref)
    assert (await lab.instruct(ref)).rest == (3,)
    await lab.store.cancel(ref)

    answer = await lab.instruct(ref)

    assert answer.rest == (4,)
    task = await lab.store.find("default", "t1", with_iterations=True)
    assert task is not None
    assert task.iterations is not None
    assert [(row.number, row.status) for row in task.iterations] == [
        (1, "completed"),
        (2, "failed"),
        (3, "failed"),
        (4, "awaiting_instruction"),
    ]
    assert task.iterations[1].failure is not None
    assert task.iterations[1].failure.reason is Reason.CANCELED


async def test_a_cancelled_run_that_was_claimed_stays_failed(lab: Lab) -> None:
    """It ran: its end is the task's end, and its work is kept."""
    ref = await lab.create()
    await lab.run_next()
    await lab.instruct(ref)
    claim = await lab.take()
    await lab.advance(claim)
    await lab.store.cancel(ref)

    await lab.finish(claim, failed=Reason.CANCELED)

    world = await lab.world()
    assert world.document(ref)["status"] == "failed"
    assert world.rows(ref)["2.work"]


@pytest.mark.parametrize("ask", ASKS)
async def test_every_key_is_kept_while_a_run_waits_and_expires_after_it(lab: Lab, ask: str) -> None:
    """A follow-up lifts the TTL of everything; its end sets all of them anew."""
    ref = await finished(lab)
    names = [
        f"tenant:default:task:t1{suffix}" for suffix in ("", ":events", ":iterations", ":work")
    ]
    assert set(names) <= (await lab.world()).with_ttl

    await ASKS[ask](lab, ref)
    assert not set(names) & (await lab.world()).with_ttl
    assert ref not in (await lab.world()).get("expiring")
    await lab.sleep(100)
    await lab.store.cancel(ref)

    world = await lab.world()
    assert set(names) <= world.with_ttl
    ends = await lab.now() + STATE_TTL_SECONDS * 1000
    assert world.get("expiring")[ref] == ends


async def test_an_expired_task_leaves_every_index(lab: Lab) -> None:
    """Redis erases the keys by itself; the chores notice."""
    ref = await lab.create()
    await lab.run_next(failed=Reason.AGENT_FAILED)
    await lab.redis.zadd(lab.keys.dead_letters(), {ref: 1})
    await lab.sleep(STATE_TTL_SECONDS)
    await lab.reap()
    assert ref in (await lab.world()).get("expiring"), "its keys are still there"
    await lab.redis.unlink(*[f"lab:tenant:default:task:t1{s}" for s in ("", ":events")])
    await lab.redis.unlink(*[f"lab:tenant:default:task:t1{s}" for s in (":work", ":iterations")])
    await lab.sleep(2)

    await lab.reap()

    world = await lab.world()
    left = [name for name in world.values if "default" in name or name == "dead"]
    assert not [name for name in left if name not in world.with_ttl]
