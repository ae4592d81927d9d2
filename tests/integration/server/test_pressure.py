"""What submissions get when something is short; reading, cancelling and claiming never suffer."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from internal.control.pressure import Pressure
from internal.errors import Unavailable
from internal.rdb.client import connect
from internal.server import pressure as door
from internal.task.event import new_event
from internal.task.queue import Lane
from tests.support.listening import make_listener
from tests.support.redis import RedisServer
from tests.support.service import KEYS, Service, body, open_service

pytestmark = pytest.mark.live_keys

_API = "/api/v1"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request looks anew."""
    monkeypatch.setattr(door, "_FRESH_SECONDS", 0.0)


@pytest.fixture
async def service(redis_client: Redis, redis_server: RedisServer) -> AsyncIterator[Service]:
    """More than one runnable task per slot is too much, and more than three by far."""
    room = Pressure(slow_per_slot=1, slow_age_seconds=0, refuse_per_slot=3, refuse_age_seconds=0)
    async with open_service(redis_server.url, room=room) as service:
        yield service


async def _post(service: Service, path: str = "/tasks", **headers: str) -> tuple[int, Any, str]:
    content = body() if path == "/tasks" else None
    if path.endswith("/instruct"):
        content = {"prompt": "go on"}
    async with service.client() as client:
        answer = await client.post(f"{_API}{path}", json=content, headers=headers)
    return answer.status_code, answer.json(), answer.headers.get("retry-after", "")


async def _register(service: Service, slots: int) -> None:
    await service.queue.register("w", "h", {"slots": slots})


async def test_a_queue_behind_its_slots_slows_down_and_then_refuses(service: Service) -> None:
    """429, then 503, each with a time and the cause; an accepted task is never taken back."""
    await _register(service, 1)
    found = [await _post(service) for _ in range(6)]

    assert [status for status, _, _ in found] == [201, 201, 429, 429, 429, 429]
    _, said, after = found[2]
    assert said["error"] == "rate_limit_exceeded"
    assert "(queue)" in said["message"]
    assert int(after) > 0


async def test_a_repeat_is_no_new_work(service: Service) -> None:
    """The task of a known Idempotency-Key is answered, whatever the pressure."""
    await _register(service, 1)
    _, made, _ = await _post(service, **{"Idempotency-Key": "k"})
    await _post(service)

    status, again, _ = await _post(service, **{"Idempotency-Key": "k"})

    assert (status, again["id"]) == (200, made["id"])
    assert (await _post(service, **{"Idempotency-Key": "other"}))[0] == 429


async def test_weakness_1_what_waits_without_workers_or_at_a_gate_is_no_overload(
    service: Service,
) -> None:
    """Nobody can run it now, so it is no backlog; nothing ends in a livelock."""
    for _ in range(6):
        assert (await _post(service))[0] == 201  # scaled to zero

    await service.redis.hset(KEYS.limits(), "repo:*", "1")
    await _register(service, 2)
    await service.claim()
    assert await service.queue.claim(Lane.AGENT, worker="worker", home="home") is None

    assert (await _post(service))[0] == 201


async def test_follow_ups_and_retries_are_new_work_and_the_rest_is_not(service: Service) -> None:
    """Instruct and retry are slowed down like a create; reading and cancelling go on."""
    _, made, _ = await _post(service)
    await service.finish(await service.claim())
    await _register(service, 1)
    _, queued, _ = await _post(service)
    await _post(service)

    assert (await _post(service, f"/tasks/{made['id']}/instruct"))[0] == 429
    assert (await _post(service, f"/tasks/{made['id']}/retry"))[0] == 429
    async with service.client() as client:
        assert (await client.get(f"{_API}/tasks/{made['id']}")).status_code == 200
    assert (await _post(service, f"/tasks/{queued['id']}/cancel"))[0] == 200


async def test_a_full_redis_refuses_only_new_work(service: Service) -> None:
    """Above nine tenths of its memory 503 with the cause; below it the same call is taken."""
    used = int((await service.redis.info("memory"))["used_memory"])
    try:
        await service.redis.config_set("maxmemory", int(used / 0.95))
        status, said, after = await _post(service)
    finally:
        await service.redis.config_set("maxmemory", 0)

    assert status == 503
    assert "(redis_memory)" in said["message"]
    assert int(after) > 0
    assert (await _post(service))[0] == 201


async def test_trimmed_events_are_said_where_events_are_read(service: Service) -> None:
    """GET events and the stream's first message name the number up to which some may be gone."""
    _, made, _ = await _post(service)
    claim = await service.claim()
    texts = [new_event("stream", "text", {"text": "x" * 2_000}) for _ in range(50)]
    await service.queue.append(claim, 1, texts)
    await service.finish(claim)
    path = f"{_API}/tasks/{made['id']}"
    async with service.client() as client:
        whole = (await client.get(f"{path}/events")).json()
        assert "events_trimmed" not in whole
        await service.redis.config_set("maxmemory", 1)
        try:
            await service.queue.trim_events(0.75)
        finally:
            await service.redis.config_set("maxmemory", 0)

        page = (await client.get(f"{path}/events")).json()
        stream = (await client.get(f"{path}/stream")).text

    kept = [event["type"] for event in page["events"]]
    assert page["events_trimmed"] == 53
    assert "stream" not in kept
    assert page["events"] == [event for event in whole["events"] if event["type"] != "stream"]
    assert '"events_trimmed":53' in stream.replace(" ", "")
    assert stream.count("\nid: ") == len(page["events"])
    assert "event: done" in stream


async def test_what_lies_in_the_input_list_waits_there(
    service: Service, redis_server: RedisServer
) -> None:
    """Nobody is told no: the entry stays pending, and is taken when there is room."""
    await _register(service, 1)
    await _post(service)
    await _post(service)
    await service.redis.rpush(KEYS.input_tasks(), json.dumps(body(correlation_id="c")))
    async with connect(redis_server.url, role="blocking") as blocking:
        listener = make_listener(service, blocking, lease_seconds=0)
        await service.redis.lmove(KEYS.input_tasks(), KEYS.input_pending(), "LEFT", "RIGHT")
        with pytest.raises(Unavailable, match="queue"):
            await listener.serve_one()
        assert await service.redis.llen(KEYS.input_pending()) == 1
        assert not await service.redis.exists(KEYS.input_result("c"))

        await service.claim()
        await service.claim()
        assert await listener.serve_one()
    assert "task_id" in str(await service.redis.get(KEYS.input_result("c")))
