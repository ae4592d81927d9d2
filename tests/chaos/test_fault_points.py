"""
A process dies at each fault point, another one goes on: nothing is lost, nothing is there twice.

What dies is the real program (`FAULT=after:<point>`), as many at once as one site can tell apart:
each of them has one task, because there are as many tasks as slots.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest

from internal.errors import Unavailable
from internal.fault import EXIT_STATUS, POINTS
from internal.task.model import Reason, Task
from internal.task.ops import OpKind
from internal.task.pullrequest import PullRequestOptions
from internal.task.state import State
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_process import WorkerProcess
from tests.support.chaos_site import TENANT, Site
from tests.support.forge import open_forge
from tests.support.hosts.double import TOKEN
from tests.support.receiver import Receiver
from tests.support.waiting import until

pytestmark = pytest.mark.chaos

# The agent of who dies at one of `HANGING` does not end; those of `STOPPED` are told to stop.
RUN = tuple(POINTS)[: tuple(POINTS).index("finished") + 1]
HANGING = ("lease_renewed", "spent", "handed_back", "claim_cleaned")
STOPPED = HANGING[2:]
FOLLOW_UP = ("workspace_ready", "agent_started", "snapshot_made", "work_kept", "finished")
PUBLISH = ("commit_made", "push_begun", "token_opened", "pushed", "pr_opened", "pr_finished")
PAUSE = ("pause_stored", "suspended")
REQUEST = ("task_stored", "cancel_stored")
INPUT = ("input_taken", "input_settled")
WEBHOOK = ("delivery_claimed", "delivery_sent")
OPS = ("op_taken", "op_answered")
_USED_UP = """
cat > /dev/null
end() {{
  printf '{{"type":"result","subtype":"success","is_error":%s,"result":"%s"}}\\n' "$1" "$2"
  exit
}}
[ -e {is_back} ] && end false ok
end true "usage limit reached|$(($(date +%s) + 3))"
"""


def test_each_point_kills_in_one_of_the_tests_below() -> None:
    """A point that is new gets its test."""
    groups = (RUN, HANGING, PAUSE, PUBLISH, REQUEST, INPUT, WEBHOOK, OPS, ("reaped",))

    assert sorted(point for group in groups for point in group) == sorted(POINTS)


async def test_promise_1_a_run_survives_its_worker_wherever_it_dies(site: Site) -> None:
    """
    Also where the process that takes the tasks back dies right behind it. Afterwards each run has
    one final event, one webhook and its work; no agent and no claim of the dead is left.
    """
    reaper = await site.serve(fault="reaped")
    doomed = await _start_doomed(site, (*RUN, *HANGING))
    async with Receiver().listening() as receiver:
        tasks = [
            await site.submit(f"write {number}.txt: x", callback_url=receiver.url())
            for number in range(len(doomed))
        ]
        for point in STOPPED:
            await until("its agent runs", doomed[point].agent_states)
            doomed[point].send(signal.SIGTERM)
        for point, process in doomed.items():
            await _died(process, point)
        await until("no agent of the dead is left", lambda: not site.agents())
        await _died(reaper, "reaped")
        await site.start(WORKERS__ISOLATION="none")

        for number, task in enumerate(tasks):
            found = await site.finished(task)
            assert found.status is State.COMPLETED
            assert b"%d.txt" % number in await site.patch(task)
            assert (await site.names(task)).count("result/task_completed") == 1
        assert await _costs(site, tasks) == Counter(map(_cost, doomed))
        await until("every end was told", lambda: _told(receiver) >= set(tasks))
        assert len({one.headers["webhook-id"] for one in receiver.requests}) == len(tasks)
    await site.start(WORKERS__ISOLATION="none")  # a worker that starts sweeps
    for task in tasks:
        await _only_what_counts_is_left(site, task)
    await site.settle()


async def test_promise_3_a_follow_up_goes_on_from_what_was_recorded(site: Site) -> None:
    """
    Wherever its worker died, and whether the directory of the work was taken over or not: the next
    one has the files and the session of the iteration before, and nothing of the dead one.
    """
    site.variables["CODEFORGE_WORKERS__ISOLATION"] = "none"
    tasks = await _done(site, site.repo.url, len(FOLLOW_UP))
    doomed = await _start_doomed(site, FOLLOW_UP)
    for number, task in enumerate(tasks):
        await site.instruct(task, f"append {number}.txt: y")
    for point, process in doomed.items():
        await _died(process, point)
    await site.start()

    for number, task in enumerate(tasks):
        found = await site.finished(task)
        assert (found.status, found.iteration) == (State.COMPLETED, 2)
        assert b"+x\n+y" in await site.patch(task), number
        started = [e["data"] for e in await site.events(task) if e["event"] == "cli_started"]
        assert (started[-1]["iteration"], started[-1]["resumed"]) == (2, True)
        assert (await site.names(task)).count("result/task_completed") == 2
    assert await _costs(site, tasks) == Counter(map(_cost, doomed))
    await site.settle()


async def test_promise_4_one_pull_request_wherever_its_worker_dies(
    site: Site, tmp_path: Path
) -> None:
    """The branch and its commit are the same for the one who repeats it; so is the request."""
    site.variables["CODEFORGE_GIT__PROVIDER_DOMAINS"] = '{"127.0.0.1": "github"}'
    site.variables["CODEFORGE_WORKERS__ISOLATION"] = "none"
    with open_forge(tmp_path / "forge") as forge:
        tasks = await _done(site, forge.url, len(PUBLISH), access_token=TOKEN)
        doomed = await _start_doomed(site, PUBLISH)
        for task in tasks:
            await site.core.publishing.publish(TENANT, task, PullRequestOptions())
        for point, process in doomed.items():
            await _died(process, point)
        await site.start()

        for task in tasks:
            found = await site.finished(task)
            names = await site.names(task)
            assert found.status is State.PR_CREATED
            assert (names.count("git/pr_created"), names.count("git/pr_failed")) == (1, 0)
        assert await _costs(site, tasks) == Counter(map(_cost, doomed))
        assert sorted(pull.head for pull in forge.pulls) == sorted(f"codeforge/{t}" for t in tasks)
        assert forge.complaints == []
    await site.settle()


async def test_a_pause_holds_although_all_who_knew_of_it_died(site: Site) -> None:
    """The server that was asked, and the worker that did it; the run goes on where it was."""
    storing, suspending = PAUSE
    server = await site.serve(fault=storing)
    worker = await site.start(fault=suspending, WORKERS__ISOLATION="none")
    task = await site.submit("write one.txt: x\nsay begun\nsleep 1\nwrite two.txt: x")
    await site.until_said(task, "begun")

    async with site.client(server.url) as client:
        with pytest.raises(httpx2.TransportError):
            await client.post(f"/api/v1/tasks/{task}/pause")
    await _died(server, storing)
    await _died(worker, suspending)
    paused = await site.task(task)
    await site.start(WORKERS__ISOLATION="none")
    await site.core.service.resume(TENANT, task)
    found = await site.finished(task)

    assert paused.status is State.PAUSED
    assert (found.status, found.lost, found.attempt) == (State.COMPLETED, 0, 2)
    patch = await site.patch(task)
    assert b"one.txt" in patch
    assert b"two.txt" in patch
    names = await site.names(task)
    assert names.count("control/paused") == names.count("result/task_completed") == 1
    await site.settle()


async def test_a_turn_at_a_quota_is_not_lost_with_who_took_it(site: Site) -> None:
    """The one that goes ahead when it opens dies at once: the next goes ahead, and opens it."""
    site.variables["CODEFORGE_WORKERS__ISOLATION"] = "none"
    program = site.directory / "claude"  # a folder of its own: `_start_doomed` installs one, too
    program.mkdir()
    is_back = program / "quota-is-back"
    script = _USED_UP.format(is_back=is_back)
    site.variables["CODEFORGE_CLI__CLAUDE_CODE__PATH"] = shell_cli(program, script)
    first = await site.start()
    task = await site.submit("do it", cli="claude-code", ai_api_key="key-of-a-test")
    waits = await site.until_task(task, "waits", lambda found: found.wait)
    first.send(signal.SIGTERM)
    assert await first.ended() == 0
    is_back.touch()

    doomed = await _start_doomed(site, ["admitted"])
    await _died(doomed["admitted"], "admitted")
    await site.start()
    found = await site.finished(task)

    assert waits.wait is not None
    assert waits.wait.reason == "quota"
    assert (found.status, found.lost, found.retries) == (State.COMPLETED, 1, 0)
    assert not (await site.world()).get(f"gate:{waits.wait.gate}:until")
    await site.settle()


async def test_promise_18_a_request_whose_server_died_can_be_repeated(site: Site) -> None:
    """The task is there once, and the cancel is heard, although nobody got an answer."""
    worker = await site.start(WORKERS__ISOLATION="none")
    body = {"repo_url": site.repo.url, "prompt": "say begun\nhang", "config": {"cli": "demo"}}
    once = {"Idempotency-Key": "once"}
    storing = await site.serve(fault="task_stored")
    async with site.client(storing.url) as client:
        with pytest.raises(httpx2.TransportError):
            await client.post("/api/v1/tasks", json=body, headers=once)
    await _died(storing, "task_stored")

    cancelling = await site.serve(fault="cancel_stored")
    async with site.client(cancelling.url) as client:
        repeated = await client.post("/api/v1/tasks", json=body, headers=once)
        task = repeated.json()["id"]
        site.tasks.append(task)
        await site.until_said(task, "begun")
        with pytest.raises(httpx2.TransportError):
            await client.post(f"/api/v1/tasks/{task}/cancel")
    await _died(cancelling, "cancel_stored")
    found = await site.finished(task)

    assert repeated.status_code == 200
    assert found.failure is not None
    assert (found.failure.reason, found.lost) == (Reason.CANCELED, 0)
    assert (await site.names(task)).count("system/task_failed") == 1
    assert (await site.core.service.stats(TENANT)).tasks[State.FAILED] == 1
    assert not worker.agents()
    await site.settle()


async def test_promise_18_a_payload_survives_its_listener(site: Site) -> None:
    """Taken or answered, whoever dies with it: it becomes one task and has one answer."""
    pending = site.core.keys.input_pending()
    for point in INPUT:
        listener = await site.serve(fault=point)
        body = {"repo_url": site.repo.url, "prompt": point, "config": {"cli": "demo"}}
        payload = json.dumps({**body, "correlation_id": point})
        await site.core.redis.rpush(site.core.keys.input_tasks(), payload)
        await _died(listener, point)
    await _end_leases(site)

    await site.serve()
    await site.start(WORKERS__ISOLATION="none")
    for point in INPUT:
        answer = await _answer(site, point)
        site.tasks.append(json.loads(answer)["task_id"])

    for task, point in zip(site.tasks, INPUT, strict=True):
        found = await site.finished(task)
        assert (found.status, found.prompt) == (State.COMPLETED, point)
    assert sum((await site.core.service.stats(TENANT)).tasks.values()) == len(INPUT)
    assert not await site.core.redis.exists(pending)
    await site.settle()


async def test_promise_17_a_webhook_survives_its_dispatcher(site: Site) -> None:
    """Claimed or sent, whoever dies with it: it comes, and comes again only with its own id."""
    await site.start(program="mute", WORKERS__ISOLATION="none")
    async with Receiver().listening() as receiver:
        tasks: list[str] = []
        for point in WEBHOOK:
            dispatcher = await site.serve(fault=point)
            tasks.append(await site.submit("say done", callback_url=receiver.url()))
            await _died(dispatcher, point)
        await _end_leases(site)

        await site.serve()

        await receiver.wait_for(3)
        finals = {task: (await site.events(task))[-1]["id"] for task in tasks}
    ids = [one.headers["webhook-id"] for one in receiver.requests]
    claimed, sent = (f"evt_{task}_{finals[task]}" for task in tasks)
    assert sorted(ids) == sorted([claimed, sent, sent])
    await site.settle()


async def test_a_question_to_a_home_may_be_asked_again(site: Site) -> None:
    """Who dies with it leaves it unanswered, in time; the next answers. No key is left of it."""
    asking = site.core.ops.ask
    dying = await site.start(fault="op_taken")
    question = asyncio.create_task(
        asking(site.home_id(), OpKind.LIST_WORKSPACES, {"tenant": TENANT})
    )
    await _died(dying, "op_taken")
    with pytest.raises(Unavailable):
        await question

    answering = await site.start(fault="op_answered")

    answer = await asking(site.home_id(), OpKind.LIST_WORKSPACES, {"tenant": TENANT})
    await _died(answering, "op_answered")

    assert answer == {"workspaces": []}
    await site.settle()


async def _start_doomed(site: Site, points: Sequence[str]) -> dict[str, WorkerProcess]:
    """By point, one worker with one slot of each kind."""
    slots = {"WORKERS__CONCURRENCY": "1", "WORKERS__PUBLISH_CONCURRENCY": "1"}
    hanging = shell_cli(site.directory, "cat > begun; exec sleep 600")
    started = await asyncio.gather(
        *(
            site.start(
                fault=point,
                WORKERS__ISOLATION="none",
                WORKERS__GRACE_SECONDS="0",
                **slots,
                **({"CLI__DEMO__PATH": hanging} if point in HANGING else {}),
            )
            for point in points
        )
    )
    return dict(zip(points, started, strict=True))


async def _died(process: WorkerProcess, point: str) -> None:
    assert await process.ended() == EXIT_STATUS, process.log()
    assert f"FAULT: ended after:{point}" in process.log()


async def _costs(site: Site, tasks: Sequence[str]) -> Counter[tuple[int, int]]:
    """How many of *tasks* have cost so many lives and attempts."""
    found = [await site.task(task) for task in tasks]
    return Counter((task.lost, task.attempt) for task in found)


def _cost(point: str) -> tuple[int, int]:
    """Lives and attempts that it costs a task when its first worker dies there."""
    if point in {"finished", "pr_finished"}:
        return 0, 1
    return (0, 2) if point in STOPPED else (1, 2)


def _told(receiver: Receiver) -> set[str]:
    return {str(json.loads(one.body)["task_id"]) for one in receiver.requests}


async def _only_what_counts_is_left(site: Site, task: str) -> None:
    found: Task = await site.task(task)
    assert found.iterations is not None
    work = found.iterations[-1].work
    assert work is not None
    await until("the dead are swept", lambda: site.claims_on_disk(task) == {work.claim})


async def _done(
    site: Site, repo_url: str, count: int, *, access_token: str | None = None
) -> list[str]:
    """Finished tasks with work, whose worker is gone."""
    worker = await site.start()
    tasks = [
        await site.submit(f"write {n}.txt: x", repo_url=repo_url, access_token=access_token)
        for n in range(count)
    ]
    for task in tasks:
        await site.finished(task)
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    return tasks


async def _end_leases(site: Site) -> None:
    """Let 30 s pass for what the dead have leased of the input list and the outbox."""
    redis, keys = site.core.redis, site.core.keys
    for delivery in await redis.zrange(keys.outbox(), 0, -1):
        await redis.zadd(keys.outbox(), {str(delivery): 1})
    for index, entry in enumerate(await redis.lrange(keys.input_pending(), 0, -1)):
        identity, _, payload = str(entry).partition("\n")
        await redis.lset(keys.input_pending(), index, f"{identity.partition(' ')[0]} 0\n{payload}")


async def _answer(site: Site, correlation: str) -> str:
    key = site.core.keys.input_result(correlation)

    async def is_there() -> bool:
        return bool(await site.core.redis.exists(key))

    await until(f"{correlation} is answered", is_there)
    return str(await site.core.redis.get(key))
