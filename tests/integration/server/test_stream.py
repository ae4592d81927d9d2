"""Events over HTTP: pages and streams, on a real server."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from typing import Any, cast

import httpx2
import pytest

from internal.access.resolver import CONFIGURED
from internal.agent.model import AgentEvent, EventKind
from internal.rdb.client import connect
from internal.server import sse
from internal.task.event import from_agent
from internal.task.model import Claim, Failure, Reason
from tests.support.redis import RedisServer
from tests.support.service import KEYS, TOKEN, Service, body, failed, listening, text_events
from tests.support.sse import Message, numbers, open_stream
from tests.support.waiting import until

pytestmark = pytest.mark.live_keys


@pytest.fixture
async def url(service: Service) -> AsyncGenerator[str]:
    async with listening(service) as base:
        yield base


async def submit(client: httpx2.AsyncClient) -> str:
    task: str = (await client.post("/api/v1/tasks", json=body())).json()["id"]
    return task


async def log_of(client: httpx2.AsyncClient, task: str, query: str = "") -> dict[str, Any]:
    answer = await client.get(f"/api/v1/tasks/{task}/events{query}")
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def finished(service: Service, client: httpx2.AsyncClient, texts: int = 3) -> str:
    """A completed task whose agent said something."""
    task = await submit(client)
    claim = await service.claim()
    await service.queue.append(claim, 1, text_events([f"line {n}" for n in range(texts)]))
    await service.finish(claim)
    return task


async def test_a_stream_shows_a_run_from_its_start_to_its_end(
    service: Service, client: httpx2.AsyncClient, url: str
) -> None:
    """
    connected, every event with its number as it happens, done, the end; version A's headers.
    """
    task = await submit(client)
    async with open_stream(url, task) as stream:
        assert stream.response.status_code == 200
        headers = stream.response.headers
        first = [await stream.next() for _ in range(3)]
        claim = await service.claim()
        running = [await stream.next() for _ in range(2)]
        await service.queue.append(claim, 1, text_events(["hi"]))
        said = await stream.next()
        await service.finish(claim)
        rest = await stream.rest()

    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-cache"
    assert headers["connection"] == "keep-alive"
    assert headers["x-accel-buffering"] == "no"
    assert first[0] == Message("retry", 2000)
    assert first[1] == Message("connected", {"task_id": task, "status": "pending", "last_id": 1})
    assert (first[2].event, first[2].id) == ("", 1)
    assert first[2].data["event"] == "task_created"
    assert [message.data["data"]["to"] for message in running] == ["cloning", "running"]
    assert said.data["data"] == {"text": "hi"}
    assert [message.data["event"] for message in rest[:-1]] == ["state", "task_completed"]
    assert rest[-1].event == "done"
    assert rest[-1].id is None
    assert rest[-1].data["task_id"] == task
    assert rest[-1].data["status"] == "completed"
    assert rest[-1].data["changes_summary"]["diff_stats"] == "+3 -0"
    assert numbers([*first, *running, said, *rest]) == list(range(1, 7))


async def test_a_late_viewer_gets_the_whole_log_and_the_end(
    service: Service, client: httpx2.AsyncClient, url: str
) -> None:
    """
    The stream of a finished task is its log; each message is its stored envelope.
    """
    task = await finished(service, client, texts=1200)

    async with open_stream(url, task) as stream:
        messages = await stream.rest()
    page = await log_of(client, task, "?limit=1000")

    sent = [message for message in messages if message.id is not None]
    assert numbers(messages) == list(range(1, 1206))
    assert [message.data for message in sent[:1000]] == page["events"]
    assert messages[-1].event == "done"


async def test_a_failed_task_ends_its_stream_too(
    service: Service, client: httpx2.AsyncClient, url: str
) -> None:
    """
    done says how it ended.
    """
    task = await submit(client)
    async with open_stream(url, task) as stream:
        boom = Failure(reason=Reason.AGENT_FAILED, message="boom")
        await service.finish(await service.claim(), failed(boom))
        messages = await stream.rest()

    assert messages[-2].data["event"] == "task_failed"
    assert messages[-1].data == {"task_id": task, "status": "failed", "changes_summary": None}


@pytest.mark.parametrize(
    "resumed",
    [
        ("?after=2", {}, 3),
        ("", {"Last_Event_ID": "2"}, 3),
        ("?after=4", {"Last_Event_ID": "1"}, 5),
        ("?after=0", {"Last_Event_ID": "3"}, 1),
        ("?after=-1", {}, 1),
        ("?after=x", {"Last_Event_ID": "2"}, 3),
        ("?after=", {}, 1),
        ("", {"Last_Event_ID": "1.5"}, 1),
        ("", {"Last_Event_ID": "nonsense"}, 1),
        ("?after=%D9%A3", {}, 1),
    ],
)
async def test_a_cursor_resumes_behind_its_number(
    service: Service,
    client: httpx2.AsyncClient,
    url: str,
    resumed: tuple[str, dict[str, str], int],
) -> None:
    """
    ?after= wins over the header; what is no number from 0 on counts for nothing.
    """
    query, headers, first = resumed
    task = await finished(service, client)

    async with open_stream(url, task, query, **headers) as stream:
        messages = await stream.rest()

    assert numbers(messages) == list(range(first, 9))
    assert messages[-1].event == "done"


@pytest.mark.parametrize("cursor", ["9", "1000000", "999999999999999"])
async def test_a_cursor_beyond_the_log_starts_again(
    service: Service, client: httpx2.AsyncClient, url: str, cursor: str
) -> None:
    """
    A failover can shorten a log; the client is told to forget, and gets all of it.
    """
    task = await finished(service, client)

    async with open_stream(url, task, f"?after={cursor}") as stream:
        messages = await stream.rest()

    assert [message.event for message in messages[:3]] == ["retry", "connected", "reset"]
    assert messages[2].id is None
    assert numbers(messages) == list(range(1, 9))


async def test_204_stops_a_client_that_has_everything(
    service: Service, client: httpx2.AsyncClient, url: str
) -> None:
    """
    Only when the task is finished and the cursor is at the last event.
    """
    task = await finished(service, client)

    at_the_end = await client.get(f"/api/v1/tasks/{task}/stream?after=8")
    await client.post(f"/api/v1/tasks/{task}/instruct", json={"prompt": "more"})
    async with open_stream(url, task, "?after=9") as stream:
        assert stream.response.status_code == 200
        started = [await stream.next() for _ in range(2)]

    assert (at_the_end.status_code, at_the_end.content) == (204, b"")
    assert started[1].data["last_id"] == 9


async def test_a_stream_goes_on_through_a_follow_up(
    service: Service, client: httpx2.AsyncClient, url: str
) -> None:
    """
    A viewer of the second run sees it to its own end.
    """
    task = await finished(service, client)
    await client.post(f"/api/v1/tasks/{task}/instruct", json={"prompt": "more"})
    async with open_stream(url, task, "?after=8") as stream:
        await service.finish(await service.claim())
        messages = await stream.rest()

    events = [message.data["event"] for message in messages if message.id is not None]
    assert events == ["state", "state", "state", "state", "task_completed"]
    assert messages[-1].event == "done"


async def test_promise_22_a_server_that_stops_says_bye_and_exits(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    An open stream does not hold the server up, and its client knows to connect again.
    """
    task = await submit(client)
    async with listening(service) as url, open_stream(url, task) as stream:
        started = [await stream.next() for _ in range(3)]
        service.stop.set()
        rest = await stream.rest()

    assert started[2].id == 1
    assert rest == [Message("bye", {"reason": "shutdown"})]


async def test_a_stream_of_a_task_that_is_erased_ends(
    service: Service, client: httpx2.AsyncClient, url: str, redis_server: RedisServer
) -> None:
    """
    There is nothing left to wait for, but no done either.
    """
    task = await submit(client)
    async with open_stream(url, task) as stream:
        await stream.next()
        async with connect(redis_server.url, role="command") as redis:
            await redis.delete(KEYS.task("default", task), KEYS.task_events("default", task))
            await redis.publish(KEYS.stream_channel(task), "look")
        messages = await stream.rest()

    assert messages[-1] == Message("bye", {"reason": "deleted"})


async def test_silence_is_filled_with_comments(
    service: Service,
    client: httpx2.AsyncClient,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    So neither proxies nor clients take a quiet stream for a dead one.
    """
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.02)
    task = await submit(client)

    async with open_stream(url, task) as stream:
        messages = [await stream.next() for _ in range(6)]

    assert [message.event for message in messages[3:]] == ["comment"] * 3


async def test_a_viewer_that_leaves_costs_nothing_more(
    service: Service, client: httpx2.AsyncClient, url: str
) -> None:
    """
    Without viewers nothing is subscribed.
    """
    task = await submit(client)
    assert service.deps.hub.watched == 0
    async with open_stream(url, task) as one, open_stream(url, task) as two:
        await one.next()
        await two.next()
        assert service.deps.hub.watched == 1

    await until("nobody watches", lambda: service.deps.hub.watched == 0)

    async def unsubscribed() -> bool:
        return await service.redis.pubsub_channels(f"{KEYS.prefix}task:*") == []

    await until("nothing is subscribed", unsubscribed)


async def test_a_client_that_does_not_read_is_cut_off(
    service: Service,
    client: httpx2.AsyncClient,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    It holds its socket's buffers for so long and no longer; others are not disturbed.
    """
    monkeypatch.setattr(sse, "SEND_SECONDS", 0.2)
    task = await submit(client)
    claim = await service.claim()
    for batch in range(1, 61):
        await service.queue.append(claim, batch, text_events(["x" * 60_000] * 3))
    request = (
        f"GET /api/v1/tasks/{task}/stream HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n"
    )
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect((host, int(port)))
        lazy.sendall(request.encode())
        await until("it is watched", lambda: service.deps.hub.watched == 1)
        await until("it is given up", lambda: service.deps.hub.watched == 0)

    async with open_stream(url, task, "?after=180") as stream:
        messages = [await stream.next() for _ in range(4)]
    assert messages[-1].id == 182


AGENT_LINES = [
    AgentEvent(kind=EventKind.TEXT, data={"text": "a"}, raw={"type": "assistant", "n": 1}),
    AgentEvent(kind=EventKind.TOOL_USE, data={"id": "1", "name": "Bash", "input": {}}),
    AgentEvent(kind=EventKind.SYSTEM, data={"text": "b"}, raw="no json"),
]


async def run_with_lines(service: Service, client: httpx2.AsyncClient) -> str:
    task = await submit(client)
    claim: Claim = await service.claim()
    await service.queue.append(claim, 1, [from_agent(line) for line in AGENT_LINES])
    await service.finish(claim)
    return task


async def test_the_raw_form_is_what_the_cli_printed(
    service: Service, client: httpx2.AsyncClient, url: str
) -> None:
    """
    The same numbers in stream and page; those of left-out events stay unused.
    """
    task = await run_with_lines(service, client)

    async with open_stream(url, task, "?format=raw") as stream:
        messages = await stream.rest()
    page = await log_of(client, task, "?format=raw")

    events = [message.data for message in messages if message.id is not None]
    assert events == page["events"]
    assert [event["id"] for event in events] == [1, 2, 3, 4, 6, 7, 8]
    assert [event["event"] for event in events[3:5]] == ["output", "output"]
    assert [event["data"] for event in events[3:5]] == [{"type": "assistant", "n": 1}, "no json"]
    assert messages[-1].event == "done"


async def test_an_unknown_form_is_refused(client: httpx2.AsyncClient) -> None:
    """
    Before any event is sent.
    """
    task = await submit(client)

    for path in ("stream", "events"):
        answer = await client.get(f"/api/v1/tasks/{task}/{path}?format=xml")
        assert answer.status_code == 400
        assert list(answer.json()["fields"]) == ["format"]


async def test_pages_of_events_join_into_the_log(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    `next` is the last number given, for the next call; null when none was.
    """
    task = await finished(service, client, texts=20)

    seen: list[int] = []
    after = 0
    while True:
        page = await log_of(client, task, f"?limit=7&after={after}")
        seen += [event["id"] for event in page["events"]]
        if page["next"] is None:
            break
        assert page["next"] == seen[-1]
        after = page["next"]

    assert seen == list(range(1, 26))
    assert page["events"] == []


async def test_pages_of_the_raw_form_lose_nothing(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    A page is full of what is shown, however much between is left out.
    """
    task = await submit(client)
    claim = await service.claim()
    quiet = AgentEvent(kind=EventKind.USAGE, data={})
    for batch in range(1, 5):
        lines = [from_agent(quiet)] * 10 + [from_agent(AGENT_LINES[0])]
        await service.queue.append(claim, batch, lines)
    await service.finish(claim)

    page = await log_of(client, task, "?format=raw&limit=6")
    rest = await log_of(client, task, f"?format=raw&after={page['next']}")

    shown = [event["event"] for event in [*page["events"], *rest["events"]]]
    assert len(page["events"]) == 6
    assert shown.count("output") == 4
    assert shown[-1] == "task_completed"


@pytest.mark.parametrize("query", ["?after=-1", "?after=x", "?limit=0", "?limit=1001", "?x=1"])
async def test_bad_parameters_of_a_page_are_named(client: httpx2.AsyncClient, query: str) -> None:
    """
    A page is asked for by a program, which is to learn of its mistake.
    """
    task = await submit(client)

    answer = await client.get(f"/api/v1/tasks/{task}/events{query}")

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [query[1:].partition("=")[0]]


async def test_the_public_channels_carry_envelopes_and_the_end(
    service: Service, client: httpx2.AsyncClient, redis_server: RedisServer
) -> None:
    """
    Programs on Redis itself see each envelope as it is stored, and one done object.
    """
    task = await submit(client)
    heard: dict[str, list[Any]] = {}
    async with connect(redis_server.url, role="pubsub") as redis, redis.pubsub() as channel:
        await channel.subscribe(KEYS.stream_channel(task), KEYS.done_channel(task))
        await service.finish(await service.claim())
        while KEYS.done_channel(task) not in heard:
            message = cast("dict[str, str] | None", await channel.get_message(timeout=30))
            assert message is not None
            if message["type"] == "message":
                heard.setdefault(message["channel"], []).append(json.loads(message["data"]))

    events = heard[KEYS.stream_channel(task)]
    assert events == (await log_of(client, task, "?after=1"))["events"]
    assert heard[KEYS.done_channel(task)][0]["status"] == "completed"


async def test_waiting_clients_do_not_hold_up_a_stop(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    Who waits for the end of a task gets the task as it is.
    """
    posting = asyncio.create_task(client.post("/api/v1/tasks", json=body(wait=60)))
    await until("it waits", lambda: service.deps.hub.watched == 1)

    service.stop.set()
    answer = await posting

    assert answer.status_code == 202


async def test_a_stream_ends_when_its_token_is_revoked(
    service: Service, client: httpx2.AsyncClient, url: str
) -> None:
    """
    Whoever lost its token sees nothing more, although it connected before.
    """
    task = await submit(client)
    made = await service.deps.tokens.make(CONFIGURED, "viewer", frozenset({"read"}))
    async with open_stream(url, task, authorization=f"Bearer {made.text}") as stream:
        first = [await stream.next() for _ in range(3)]

        await service.deps.tokens.revoke(CONFIGURED, "viewer")
        rest = await stream.rest()

    assert first[1].event == "connected"
    assert rest == [Message("bye", {"reason": "token is no longer valid"})]
