"""Dead letters over HTTP: what they say, and what can be done with them."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from internal.ids import random_token
from internal.task.event import new_event
from internal.task.model import Failure, Outcome, Reason
from tests.support.service import KEYS, Service, body, text_events

pytestmark = pytest.mark.live_keys

LETTERS = "/api/v1/dead-letters"


async def die(
    service: Service,
    client: httpx2.AsyncClient,
    *,
    reason: Reason = Reason.RATE_LIMITED,
    texts: int = 0,
    text: str = "x",
    **members: Any,
) -> str:
    """A task that fails with its repeats used up; its id."""
    task: str = (await client.post("/api/v1/tasks", json=body(**members))).json()["id"]
    claim = await service.claim()
    if texts:
        await service.queue.append(claim, 1, text_events([text] * texts))
    failure = Failure(reason=reason, message="slow down", retryable=True)
    await service.finish(claim, Outcome(failure=failure, exhausted=True))
    return task


async def listed(client: httpx2.AsyncClient, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"{LETTERS}{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["dead_letters"]
    return found


async def test_a_letter_says_what_died_of_what_and_how(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    Reason, every attempt, and the end of the log, its last event the final one.
    """
    task: str = (await client.post("/api/v1/tasks", json=body())).json()["id"]
    first = await service.claim()
    await service.queue.hand_back(first, random_token(), reason="rate_limited", repeat=True)
    second = await service.claim()
    await service.queue.append(second, 1, [new_event("stream", "text", {"text": "last words"})])
    failure = Failure(reason=Reason.RATE_LIMITED, message="slow down", retryable=True)
    await service.finish(second, Outcome(failure=failure, exhausted=True))

    (letter,) = await listed(client)

    document = (await client.get(f"/api/v1/tasks/{task}")).json()
    assert letter["id"] == letter["task_id"] == task
    assert (letter["reason"], letter["message"]) == ("rate_limited", "slow down")
    assert (letter["agent"], letter["iteration"]) == ("demo", 1)
    assert letter["repo_url"] == document["repo_url"]
    assert letter["died_at"] == document["finished_at"]
    tried = [(a["attempt"], a["worker"], a["reason"]) for a in letter["attempts"]]
    assert tried == [(1, "worker", "rate_limited"), (2, "worker", "rate_limited")]
    names = [f"{event['type']}/{event['event']}" for event in letter["evidence"]]
    assert names[-3:] == ["stream/text", "system/state", "system/task_failed"]
    assert document["failure"]["detail"]["dead_letter"] is True


async def test_the_evidence_of_a_letter_is_bounded(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    The newest 20 events, and no more than 64 KiB of them; the newest is always there.
    """
    many = await die(service, client, texts=50)
    long = await die(service, client, texts=10, text="x" * 20_000)

    letters = {letter["id"]: letter for letter in await listed(client)}

    assert len(letters[many]["evidence"]) == 20
    assert 3 <= len(letters[long]["evidence"]) <= 6
    for letter in letters.values():
        numbers = [event["id"] for event in letter["evidence"]]
        assert numbers == sorted(numbers)
        assert letter["evidence"][-1]["event"] == "task_failed"


async def test_letters_are_found_by_what_they_are(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    By reason, agent, repository and time; an unknown value is refused.
    """
    limited = await die(service, client)
    other = "https://example.com/team/other.git"
    full = await die(
        service,
        client,
        reason=Reason.DISK_FULL,
        repo_url=other,
        config={"cli": "claude-code"},
    )
    died = (await listed(client, "?reason=disk_full"))[0]["died_at"]

    async def ids(query: str) -> list[str]:
        return [letter["id"] for letter in await listed(client, query)]

    assert await ids("") == [full, limited]
    assert await ids("?reason=rate_limited") == [limited]
    assert await ids("?agent=claude-code") == [full]
    assert await ids(f"?repo_url={other}") == [full]
    assert await ids(f"?since={died}") == [full]
    assert await ids("?since=2099-01-01T00:00:00Z") == []
    for wrong in ("reason=because", "agent=nobody", "since=today", "q=x", "limit=0"):
        assert (await client.get(f"{LETTERS}?{wrong}")).status_code == 400


async def test_pages_have_every_letter_once_among_those_of_others(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    One list holds the letters of all tenants; many died in the same millisecond.
    """
    mine = [await die(service, client) for _ in range(5)]
    now = int(datetime.now(UTC).timestamp() * 1000)
    strangers = {f"stranger/{n:026}": now + n // 300 for n in range(2_500)}
    await service.redis.zadd(KEYS.dead_letters(), {f"default/{task}": now + 3 for task in mine})
    await service.redis.zadd(KEYS.dead_letters(), strangers)

    found: list[str] = []
    cursor = ""
    while True:
        page = (await client.get(f"{LETTERS}?limit=2{cursor}")).json()
        found += [letter["id"] for letter in page["dead_letters"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert sorted(found) == sorted(mine)
    await service.redis.zrem(KEYS.dead_letters(), *strangers)


async def test_a_requeued_letter_runs_again_and_is_none_any_more(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    Retry from the dead: the same iteration, fresh lives. A second requeue finds nothing.
    """
    task = await die(service, client)

    answer = await client.post(f"{LETTERS}/{task}/requeue")
    again = await client.post(f"{LETTERS}/{task}/requeue")

    assert answer.status_code == 200
    assert answer.json() == {"id": task, "status": "pending", "iteration": 1}
    assert again.status_code == 404
    assert await listed(client) == []
    claim = await service.claim()
    assert (claim.task.id, claim.attempt, claim.task.retries) == (task, 1, 0)
    assert await service.finish(claim) == "completed"


async def test_two_requeues_at_once_queue_one_run(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    Whoever is first has it.
    """
    task = await die(service, client)

    answers = await asyncio.gather(*(client.post(f"{LETTERS}/{task}/requeue") for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404, 404]


async def test_a_discarded_letter_is_gone_and_its_task_is_not(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    204, then 404; the task stays failed and can be retried as any.
    """
    task = await die(service, client)

    answers = [await client.delete(f"{LETTERS}/{task}") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 404]
    assert (await client.get(f"/api/v1/tasks/{task}")).json()["status"] == "failed"
    assert (await client.post(f"{LETTERS}/{task}/requeue")).status_code == 404
    assert (await client.post(f"/api/v1/tasks/{task}/retry")).status_code == 200


async def test_many_are_requeued_by_what_they_are(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    The newest that match, at most `limit`; the others stay letters.
    """
    limited = [await die(service, client) for _ in range(3)]
    full = await die(service, client, reason=Reason.DISK_FULL)

    some = await client.post(f"{LETTERS}/requeue", json={"reason": "rate_limited", "limit": 2})
    rest = await client.post(f"{LETTERS}/requeue", json={"reason": "rate_limited"})

    assert some.json() == {"requeued": limited[:0:-1], "skipped": []}
    assert rest.json() == {"requeued": limited[:1], "skipped": []}
    assert [letter["id"] for letter in await listed(client)] == [full]


async def test_many_are_discarded_only_when_it_is_said_how_many(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    `DELETE /dead-letters/` with an id that was lost on the way must not empty the list.
    """
    tasks = [await die(service, client) for _ in range(3)]

    lost = await client.delete(f"{LETTERS}/")
    done = await client.delete(f"{LETTERS}?limit=2&reason=rate_limited")

    assert lost.status_code == 400
    assert list(lost.json()["fields"]) == ["limit"]
    assert done.json() == {"discarded": tasks[:0:-1], "skipped": []}
    assert [letter["id"] for letter in await listed(client)] == tasks[:1]


@pytest.mark.parametrize(
    ("request_body", "field"),
    [
        ({"reason": "because"}, "reason"),
        ({"agent": "nobody"}, "agent"),
        ({"repo_url": ""}, "repo_url"),
        ({"since": "yesterday"}, "since"),
        ({"limit": 1_001}, "limit"),
        ({"limit": 0}, "limit"),
        ({"status": "failed"}, "status"),
    ],
)
async def test_a_bad_filter_is_refused_by_name(
    client: httpx2.AsyncClient, request_body: dict[str, Any], field: str
) -> None:
    """
    Nothing is requeued by mistake.
    """
    answer = await client.post(f"{LETTERS}/requeue", json=request_body)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]


async def test_a_letter_goes_with_its_task(service: Service, client: httpx2.AsyncClient) -> None:
    """
    It is no copy.
    """
    task = await die(service, client)

    assert (await client.delete(f"/api/v1/tasks/{task}")).status_code == 204

    assert await listed(client) == []
    assert (await client.delete(f"{LETTERS}/{task}")).status_code == 404
    assert (await client.delete(f"{LETTERS}/..%2f")).status_code in {400, 404, 405}
