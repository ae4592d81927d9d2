"""Deduplication with real agents."""

from __future__ import annotations

from typing import Any

from internal.task.model import Dedup, DedupPolicy, Reason
from internal.task.state import State
from tests.support.chaos_site import Site

NIGHTLY = Dedup(key="nightly", policy=DedupPolicy.LATEST_WINS)


def first(events: list[dict[str, Any]], event: str, **data: object) -> str:
    """When that happened."""
    return next(
        str(found["ts"])
        for found in events
        if found["event"] == event and data.items() <= found["data"].items()
    )


async def test_weakness_2_the_agent_of_the_older_task_is_gone_before_the_newer_is_prepared(
    site: Site,
) -> None:
    """
    There is a free slot and nothing else to do; still the newer one waits for the older one's end.
    """
    async with site.worker(WORKERS__CONCURRENCY="2"):
        older = await site.submit("say begun\nhang", dedup=NIGHTLY)
        await site.until_said(older, "begun")

        newer = await site.submit("say mine", dedup=NIGHTLY)

        assert (await site.finished(newer)).status is State.COMPLETED

    ended = await site.task(older)
    assert ended.failure is not None
    assert ended.failure.reason is Reason.CANCELED
    over = first(await site.events(older), "task_failed")
    began = first(await site.events(newer), "state", to="cloning")
    assert over <= began
    assert "superseded" in str(await site.events(older))
    await site.settle()


async def test_weakness_9_a_follow_up_of_the_older_task_waits_for_the_newer(site: Site) -> None:
    """
    Whatever queued a run with the key, it is alone.
    """
    async with site.worker(WORKERS__CONCURRENCY="2"):
        older = await site.submit("say once", dedup=NIGHTLY)
        await site.finished(older)
        newer = await site.submit("say begun\nsleep 1", dedup=NIGHTLY)
        await site.until_said(newer, "begun")

        await site.instruct(older, "say twice")

        await site.until_said(older, "twice")
        await site.finished(older)

    over = first(await site.events(newer), "task_completed")
    log = await site.events(older)
    began = [e["ts"] for e in log if e["event"] == "state" and e["data"]["to"] == "cloning"]
    assert over <= began[1]
    await site.settle()
