"""Directives as the queue has them: to the agent that runs, or as the next instruction."""

from __future__ import annotations

import pytest

from internal.task.fenced import CancelAccepted
from internal.task.model import Claim, Reason
from internal.task.pullrequest import NotPublished
from internal.task.queue import Lane
from tests.support.queue_lab import Lab, published

pytestmark = pytest.mark.live_keys

REF = "default/t1"


async def _running(lab: Lab, worker: str = "w1") -> Claim:
    claim = await lab.take(worker)
    await lab.advance(claim)
    return claim


async def _listening(lab: Lab) -> Claim:
    """A claim whose agent takes input."""
    await lab.create()
    claim = await _running(lab)
    await lab.queue.listen(claim, takes_input=True)
    return claim


async def test_a_directive_to_an_agent_that_listens_reaches_it(lab: Lab) -> None:
    """Its worker is woken by the heartbeat and fetches it; once confirmed, nothing is left."""
    lab.twice = True
    claim = await _listening(lab)

    answer = await lab.direct(REF, "stop it", "d1")

    assert (answer.word, answer.rest) == ("ok", ("running", "running"))
    assert (await lab.beat("w1", "h1", [claim]))[1] == 4
    assert await lab.queue.listen(claim, takes_input=True) == [("d1", "stop it")]
    assert (await lab.beat("w1", "h1", [claim]))[1] == 1
    assert await lab.queue.listen(claim, takes_input=True, heard=["d1"]) == []
    assert await lab.finish(claim) == "completed"
    assert "tenant:default:task:t1:directives" not in (await lab.world()).values


async def test_a_directive_that_nobody_took_up_becomes_the_next_instruction(lab: Lab) -> None:
    """In the step that ends the run: nobody is told that it is done."""
    lab.twice = True
    claim = await _listening(lab)
    await lab.direct(REF, "stop it", "d1")
    await lab.queue.listen(claim, takes_input=True)

    state = await lab.finish(claim)

    document, names = await lab.document(REF), (await lab.world()).names(REF)
    assert state == document["status"] == "awaiting_instruction"
    assert (document["current_prompt"], document["iteration"]) == ("stop it", "2")
    assert names[-3:] == ["result/task_completed", "system/state", "control/directive"]
    assert "finished_at" not in document
    assert await lab.run_next() == "completed"


@pytest.mark.parametrize("failed", [None, Reason.AGENT_FAILED, Reason.TIMEOUT])
async def test_a_directive_to_what_does_not_listen_waits_for_the_end(
    lab: Lab, failed: Reason | None
) -> None:
    """However the run ends, unless it is cancelled."""
    lab.twice = True
    await lab.create()
    answer = await lab.direct(REF)
    assert answer.rest == ("pending", "next")

    await lab.run_next(failed=failed)

    assert await lab.status(REF) == "awaiting_instruction"


async def test_several_directives_become_instructions_one_by_one(lab: Lab) -> None:
    """In the order in which they were given, each with its own iteration."""
    lab.twice = True
    await lab.create()
    for text in ("one", "two", "three"):
        await lab.direct(REF, text)

    prompts: list[str | None] = []
    for _ in range(4):
        claim = await lab.take()
        prompts.append(claim.task.current_prompt)
        await lab.run(claim)

    assert prompts == [None, "one", "two", "three"]
    assert await lab.status(REF) == "completed"


async def test_a_cancelled_task_is_told_nothing_more(lab: Lab) -> None:
    """What waited is dropped, and the log says so."""
    lab.twice = True
    claim = await _listening(lab)
    await lab.direct(REF)
    await lab.store.cancel(REF)
    with pytest.raises(CancelAccepted):
        await lab.finish(claim)

    await lab.finish(claim, failed=Reason.CANCELED)

    told = [e["data"] for e in (await lab.world()).events(REF) if e["type"] == "control"]
    assert [data["delivery"] for data in told] == ["running", "dropped"]
    assert await lab.status(REF) == "failed"


async def test_a_cancel_of_what_waits_drops_its_directives(lab: Lab) -> None:
    """Also those of a follow-up, whose document is put back."""
    lab.twice = True
    await lab.create()
    await lab.run_next()
    await lab.instruct(REF)
    await lab.direct(REF)

    await lab.store.cancel(REF)

    assert await lab.status(REF) == "completed"


async def test_what_a_lost_session_had_heard_is_told_again(lab: Lab) -> None:
    """Its work was never recorded, so nobody has heard it; the next agent does."""
    lab.twice = True
    claim = await _listening(lab)
    await lab.direct(REF, "stop it", "d1")
    await lab.queue.listen(claim, takes_input=True, heard=["d1"])
    await lab.lose()
    again = await _running(lab, "w2")

    waiting = await lab.queue.listen(again, takes_input=True)

    assert waiting == [("d1", "stop it")]
    await lab.queue.listen(again, takes_input=False, heard=["d1"])
    assert await lab.finish(again) == "completed"


async def test_what_a_paused_session_has_heard_is_not_told_again(lab: Lab) -> None:
    """It was recorded with its work."""
    lab.twice = True
    claim = await _listening(lab)
    await lab.direct(REF, "stop it", "d1")
    await lab.queue.listen(claim, takes_input=False, heard=["d1"])
    await lab.suspend(claim)
    await lab.store.resume(REF)
    again = await _running(lab)

    assert await lab.queue.listen(again, takes_input=True) == []

    assert await lab.finish(again) == "completed"


async def test_a_directive_goes_before_the_pull_request(lab: Lab) -> None:
    """Which the run that it begins asks for at its end."""
    await lab.create(config=_AUTO)
    await lab.direct(REF)
    states = [await lab.run_next(), await lab.run_next()]

    assert states == ["awaiting_instruction", "creating_pr"]


@pytest.mark.parametrize("is_made", [True, False])
async def test_a_directive_during_a_create_pr_waits_for_its_end(lab: Lab, is_made: bool) -> None:
    """With a pull request or without: then it is the next instruction, with the gates of one."""
    lab.twice = True
    await lab.create()
    await lab.run_next()
    await lab.publish(REF)
    assert (await lab.direct(REF)).rest == ("creating_pr", "next")
    claim = await lab.take(lane=Lane.PUBLISH)

    if is_made:
        await lab.queue.finish_pr(claim, published(), "end")
    else:
        await lab.queue.hand_back(claim, "end", reason="shutdown")
        await lab.store.cancel(REF)

    document = await lab.document(REF)
    assert document["status"] == ("awaiting_instruction" if is_made else "completed")
    assert not is_made or "repo:default:r" in document["gates"]


async def test_a_directive_whose_reply_was_lost_is_said_once_whoever_spoke_since(lab: Lab) -> None:
    """Its repeat is known by what waits, not only by being the newest."""
    await lab.create()
    first = await lab.direct(REF, "the one", "d1")
    await lab.direct(REF, "the other", "d2")

    again = await lab.direct(REF, "the one", "d1")

    assert again == first
    assert await lab.redis.llen(lab.keys.task_directives("default", "t1")) == 2
    await lab.store.cancel(REF)


async def test_a_create_pr_without_a_pull_request_answers_how_the_task_goes_on(lab: Lab) -> None:
    """As every end of a run does: a directive has begun the next one already."""
    await lab.create()
    await lab.run_next()
    await lab.publish(REF)
    await lab.direct(REF)
    claim = await lab.take(lane=Lane.PUBLISH)
    outcome = NotPublished(reason="no_changes", message="nothing to publish")

    state = await lab.queue.finish_pr(claim, outcome, "end")
    repeated = await lab.queue.finish_pr(claim, outcome, "end")

    assert state == repeated == await lab.status(REF) == "awaiting_instruction"


async def test_at_most_sixteen_directives_wait(lab: Lab) -> None:
    """The next one is refused, and changes nothing."""
    lab.twice = True
    await lab.create()
    for _ in range(16):
        assert (await lab.direct(REF)).word == "ok"
    before = await lab.world()

    assert (await lab.direct(REF)).word == "full"

    assert await lab.world() == before


async def test_a_finished_task_takes_instructions_only(lab: Lab) -> None:
    """And one that is being cancelled takes nothing."""
    lab.twice = True
    await lab.create()
    await lab.take()
    await lab.store.cancel(REF)
    assert (await lab.direct(REF)).word == "illegal"
    await lab.lose()

    assert (await lab.direct(REF)).rest == ("failed",)
    assert (await lab.direct("default/t2")).word == "missing"


async def test_a_directive_that_a_script_of_before_left_begins_all_the_same(lab: Lab) -> None:
    """It ended the run without a look at it; REAP has one."""
    await lab.create()
    await lab.direct(REF)
    entry = await lab.redis.lpop("lab:tenant:default:task:t1:directives")
    await lab.run_next()
    await lab.redis.rpush("lab:tenant:default:task:t1:directives", str(entry))
    await lab.redis.zadd("lab:directed", {REF: 0})

    await lab.reap()

    assert await lab.status(REF) == "awaiting_instruction"


async def test_nothing_of_a_directive_is_left_with_a_deleted_task(lab: Lab) -> None:
    """Whoever left it there."""
    await lab.create()
    await lab.run_next()
    await lab.redis.rpush("lab:tenant:default:task:t1:directives", "{}")
    await lab.redis.zadd("lab:directed", {REF: 0})

    await lab.store.delete(REF)

    values = (await lab.world()).values
    assert not [name for name in values if "direct" in name]


_AUTO = '{"cli":"demo","timeout_seconds":300,"silence_seconds":600,"auto_create_pr":true,"pr":null}'
