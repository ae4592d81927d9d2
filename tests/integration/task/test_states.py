"""Each verb in each state, by clients and by the claim's worker: the reply, the state after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from internal.errors import Conflict, Fenced
from internal.task.fenced import CancelAccepted
from internal.task.model import Claim, Reason
from internal.task.pullrequest import NotPublished
from internal.task.queue import Lane
from tests.support.queue_lab import Lab, published

pytestmark = pytest.mark.live_keys

REF = "default/t1"
Made = Claim | None


async def pending(lab: Lab) -> Made:
    await lab.create()
    return None


async def cloning(lab: Lab) -> Made:
    await lab.create()
    return await lab.take()


async def running(lab: Lab) -> Made:
    await lab.create()
    claim = await lab.take()
    await lab.advance(claim)
    return claim


async def cancelling(lab: Lab) -> Made:
    claim = await running(lab)
    await lab.store.cancel(REF)
    return claim


async def pausing(lab: Lab) -> Made:
    claim = await running(lab)
    await lab.store.pause(REF)
    return claim


async def paused(lab: Lab) -> Made:
    await pending(lab)
    await lab.store.pause(REF)
    return None


async def paused_at_work(lab: Lab) -> Made:
    claim = await pausing(lab)
    assert claim is not None
    await lab.suspend(claim)
    return None


async def paused_follow_up(lab: Lab) -> Made:
    await awaiting_instruction(lab)
    await lab.store.pause(REF)
    return None


async def paused_retry(lab: Lab) -> Made:
    await retrying(lab)
    await lab.suspend(await lab.take())
    return None


async def waiting(lab: Lab) -> Made:
    claim = await running(lab)
    assert claim is not None
    await lab.queue.hand_back(claim, "op", reason="rate_limited", delay_seconds=30, repeat=True)
    return None


async def completed(lab: Lab) -> Made:
    await lab.create()
    await lab.run_next()
    return None


async def failed(lab: Lab) -> Made:
    await lab.create()
    await lab.run_next(failed=Reason.AGENT_FAILED)
    return None


async def failed_without_work(lab: Lab) -> Made:
    await lab.create()
    await lab.run_next(failed=Reason.CLONE_FAILED, work=False)
    return None


async def awaiting_instruction(lab: Lab) -> Made:
    await completed(lab)
    await lab.instruct(REF)
    return None


async def retrying(lab: Lab) -> Made:
    await failed(lab)
    await lab.retry(REF)
    return None


async def creating_pr(lab: Lab) -> Made:
    await completed(lab)
    await lab.publish(REF)
    return None


async def publishing(lab: Lab) -> Made:
    await creating_pr(lab)
    return await lab.take(lane=Lane.PUBLISH)


async def pushing(lab: Lab) -> Made:
    claim = await publishing(lab)
    assert claim is not None
    await lab.begin_push(claim)
    return claim


async def pr_created(lab: Lab) -> Made:
    claim = await pushing(lab)
    assert claim is not None
    await lab.queue.finish_pr(claim, published(), "op")
    return None


async def missing(lab: Lab) -> Made:
    await completed(lab)
    await lab.store.delete(REF)
    return None


ILLEGAL, JOINED = "illegal", "joined"
NO = ILLEGAL
# state: what VERBS say, in their order; each "<word>", "<word> <state after>" or "illegal <why>"
CLIENTS: dict[Callable[[Lab], Awaitable[Made]], tuple[str, str, str, str, str, str, str]] = {
    pending: (NO, NO, NO, "ok failed", "ok paused", NO, NO),
    cloning: (NO, NO, NO, "cancelling cloning", "pausing cloning", NO, NO),
    running: (NO, NO, NO, "cancelling running", "pausing running", NO, NO),
    cancelling: (NO, NO, NO, "cancelling running", f"{NO} being cancelled", NO, NO),
    pausing: (NO, NO, NO, "cancelling running", "pausing running", NO, NO),
    paused: (NO, NO, NO, "ok failed", "ok paused", "ok pending", NO),
    paused_at_work: (NO, NO, NO, "ok failed", "ok paused", "ok pending", NO),
    paused_follow_up: (NO, NO, NO, "ok completed", "ok paused", "ok awaiting_instruction", NO),
    paused_retry: (NO, NO, NO, "ok failed", "ok paused", "ok pending", NO),
    waiting: (NO, NO, NO, "ok failed", "ok paused", NO, NO),
    completed: ("ok awaiting_instruction", NO, "ok creating_pr", NO, NO, NO, "ok"),
    failed: ("ok awaiting_instruction", "ok pending", "ok creating_pr", NO, NO, NO, "ok"),
    failed_without_work: ("ok awaiting_instruction", "ok pending", "no_work", NO, NO, NO, "ok"),
    awaiting_instruction: (NO, NO, NO, "ok completed", "ok paused", NO, NO),
    retrying: (NO, NO, NO, "ok failed", "ok paused", NO, NO),
    creating_pr: (NO, NO, JOINED, "ok completed", NO, NO, NO),
    publishing: (NO, NO, JOINED, "cancelling creating_pr", NO, NO, NO),
    pushing: (NO, NO, JOINED, NO, NO, NO, NO),
    pr_created: ("ok awaiting_instruction", NO, "ok creating_pr", NO, NO, NO, "ok"),
    missing: ("missing", "missing", "missing", "missing", "missing", "missing", "missing"),
}
VERBS = ("instruct", "retry", "publish", "cancel", "pause", "resume", "delete")


@pytest.mark.parametrize("make", CLIENTS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("verb", VERBS)
async def test_a_client_gets_what_the_table_says(
    lab: Lab, make: Callable[[Lab], Awaitable[Made]], verb: str
) -> None:
    """
    A verb works in the states of the contract; elsewhere it names the state and changes nothing,
    and all that also when the client library sends it twice.
    """
    lab.twice = True
    await make(lab)
    before = await lab.world()
    call = {
        "instruct": lab.instruct,
        "retry": lab.retry,
        "publish": lab.publish,
        "cancel": lab.store.cancel,
        "pause": lab.store.pause,
        "resume": lab.store.resume,
        "delete": lab.store.delete,
    }[verb]

    answer = await call(REF)

    word, _, rest = CLIENTS[make][VERBS.index(verb)].partition(" ")
    assert answer.word == word
    if word == ILLEGAL:
        assert answer.rest == (rest or before.document(REF)["status"],)
    elif rest:
        assert await lab.status(REF) == rest
    if word not in {"ok", "cancelling", "pausing"}:
        assert await lab.world() == before


async def finish_pr(lab: Lab, claim: Claim) -> object:
    return await lab.queue.finish_pr(claim, published(), "end")


async def fail_pr(lab: Lab, claim: Claim) -> object:
    return await lab.queue.finish_pr(
        claim, NotPublished(reason="no_changes", message="nothing"), "end"
    )


async def cancel_pr(lab: Lab, claim: Claim) -> object:
    return await lab.queue.finish_pr(
        claim, NotPublished(reason="canceled", message="cancelled"), "end"
    )


async def push(lab: Lab, claim: Claim) -> object:
    word = (await lab.begin_push(claim)).word
    if word == "cancelled":
        raise CancelAccepted
    if word != "ok":
        raise {"fenced": Fenced, "illegal": Conflict}[word](word)
    return None


REPORTS: dict[str, Callable[[Lab, Claim], Awaitable[object]]] = {
    "advance": lambda lab, claim: lab.advance(claim),
    "push": push,
    "append": lambda lab, claim: lab.queue.append(claim, 5, []),
    "complete": lambda lab, claim: lab.finish(claim),
    "fail": lambda lab, claim: lab.finish(claim, failed=Reason.TIMEOUT),
    "end canceled": lambda lab, claim: lab.finish(claim, failed=Reason.CANCELED),
    "finish_pr": finish_pr,
    "fail_pr": fail_pr,
    "cancel_pr": cancel_pr,
    "hand_back": lambda lab, claim: lab.queue.hand_back(claim, "end", reason="shutdown"),
    "suspend": lambda lab, claim: lab.suspend(claim, operation="end"),
}
_NO = Conflict
# state: one entry for each report, in their order: the state after, or what is raised
WORKERS: dict[Callable[[Lab], Awaitable[Made]], list[str | type[Exception]]] = {
    cloning: [
        *("running", _NO, "cloning", _NO, "failed", "failed", _NO, _NO, _NO, "pending", "paused"),
    ],
    running: [
        *(_NO, _NO, "running", "completed", "failed", "failed", _NO, _NO, _NO, "pending", "paused"),
    ],
    cancelling: [
        CancelAccepted,
        CancelAccepted,
        "running",
        CancelAccepted,
        CancelAccepted,
        "failed",
        _NO,
        _NO,
        _NO,
        CancelAccepted,
        CancelAccepted,
    ],
    pausing: [
        *(_NO, _NO, "running", "completed", "failed", "failed", _NO, _NO, _NO, "paused", "paused"),
    ],
    publishing: [
        *(_NO, "creating_pr", "creating_pr", _NO, _NO, _NO),
        *("pr_created", "completed", "completed", "creating_pr", _NO),
    ],
    pushing: [
        *(_NO, "creating_pr", "creating_pr", _NO, _NO, _NO),
        *("pr_created", "completed", "completed", "creating_pr", _NO),
    ],
}


@pytest.mark.parametrize("make", WORKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("report", REPORTS)
async def test_a_worker_gets_what_the_table_says(
    lab: Lab, make: Callable[[Lab], Awaitable[Made]], report: str
) -> None:
    """The holder of a claim may report what the state allows; a refusal changes nothing."""
    lab.twice = True
    claim = await make(lab)
    assert claim is not None
    before = await lab.world()
    expected = WORKERS[make][list(REPORTS).index(report)]

    if isinstance(expected, str):
        await REPORTS[report](lab, claim)
        assert await lab.status(REF) == expected
    else:
        with pytest.raises(expected):
            await REPORTS[report](lab, claim)
        assert await lab.world() == before


@pytest.mark.parametrize("make", CLIENTS, ids=lambda make: make.__name__)
async def test_promise_8_a_claim_that_is_not_the_tasks_is_fenced(
    lab: Lab, make: Callable[[Lab], Awaitable[Made]]
) -> None:
    """Whatever the state: nothing that another token says changes anything."""
    ghost = await running(lab)
    assert ghost is not None
    await lab.start_anew()
    await make(lab)
    before = await lab.world()

    for report in REPORTS.values():
        with pytest.raises(Fenced):
            await report(lab, ghost)
        assert await lab.world() == before
