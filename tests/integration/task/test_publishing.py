"""Create-pr runs in the queue: asked for, following a run by themselves, joined, remembered."""

from __future__ import annotations

import pytest

from internal.task.codec import encode_config
from internal.task.fenced import CancelAccepted
from internal.task.model import Reason, TaskConfig
from internal.task.pullrequest import NotPublished
from internal.task.queue import Lane
from tests.support.queue_lab import Lab, published

pytestmark = pytest.mark.live_keys

_AUTO = encode_config(
    TaskConfig(cli="demo", timeout_seconds=60, silence_seconds=60, auto_create_pr=True)
)


async def test_a_completed_run_is_followed_by_its_pull_request_in_one_step(lab: Lab) -> None:
    """running -> completed -> creating_pr; nobody is told `done` before the pull request is."""
    lab.twice = True
    ref = await lab.create(config=_AUTO)

    state = await lab.run_next()

    assert state == "creating_pr"
    names = (await lab.world()).names(ref)
    assert names[-3:] == ["system/state", "result/task_completed", "system/state"]
    claim = await lab.take(lane=Lane.PUBLISH)
    await lab.queue.finish_pr(claim, published(), "pr")
    world = await lab.world()
    assert world.document(ref)["status"] == "pr_created"


async def test_an_automatic_pull_request_that_fails_leaves_the_task_completed(lab: Lab) -> None:
    """With the error and its code; everything else is as it was."""
    ref = await lab.create(config=_AUTO)
    await lab.run_next()
    claim = await lab.take(lane=Lane.PUBLISH)

    await lab.queue.finish_pr(claim, NotPublished(reason="push_rejected", message="no"), "pr")

    document = await lab.document(ref)
    assert document["status"] == "completed"
    assert (document["pr_error"], document["pr_reason"]) == ("no", "push_rejected")
    assert document["result"]


@pytest.mark.parametrize(("failed", "work"), [(Reason.CANCELED, True), (None, False)])
async def test_no_pull_request_follows_a_cancel_or_a_run_without_changes(
    lab: Lab, failed: Reason | None, work: bool
) -> None:
    """The run ends as it would without `auto_create_pr`."""
    ref = await lab.create(config=_AUTO)

    state = await lab.run_next(failed=failed, work=work)

    assert state == ("failed" if failed else "completed")
    assert await lab.claim(lane=Lane.PUBLISH) is None
    assert await lab.status(ref) == state


async def test_fault_a15_two_create_prs_are_one_run(lab: Lab) -> None:
    """The same call again joins the run; another one is refused."""
    ref = await lab.create()
    await lab.run_next()
    await lab.publish(ref)

    again = await lab.publish(ref)
    other = await lab.store.publish(ref, "another", '{"title":"x"}')

    assert again.word == "joined"
    assert (other.word, other.rest) == ("illegal", ("creating_pr",))
    await lab.take(lane=Lane.PUBLISH)
    assert await lab.claim(lane=Lane.PUBLISH) is None
    assert (await lab.world()).names(ref).count("system/state") == 4


async def test_commits_that_may_be_at_the_remote_are_remembered_over_a_failure(lab: Lab) -> None:
    """Else our own push would look like somebody else's once the run is lost."""
    ref = await lab.create()
    await lab.run_next()
    for head in ("a" * 40, "b" * 40, "a" * 40):
        await lab.publish(ref)
        claim = await lab.take(lane=Lane.PUBLISH)
        await lab.queue.begin_push(claim, head, lab.operation())
        await lab.queue.finish_pr(
            claim, NotPublished(reason="provider_error", message="no"), lab.operation()
        )

    assert (await lab.document(ref))["pr_heads"].split() == ["b" * 40, "a" * 40]


async def test_a_create_pr_is_cancelled_until_it_pushes(lab: Lab) -> None:
    """A cancel that came first ends it; one that comes later is refused."""
    ref = await lab.create()
    await lab.run_next()
    await lab.publish(ref)
    claim = await lab.take(lane=Lane.PUBLISH)
    assert (await lab.store.cancel(ref)).word == "cancelling"
    with pytest.raises(CancelAccepted):
        await lab.queue.begin_push(claim, "a" * 40, "push")
    await lab.queue.finish_pr(claim, NotPublished(reason="canceled", message="c"), "end")
    await lab.publish(ref)
    claim = await lab.take(lane=Lane.PUBLISH)
    await lab.queue.begin_push(claim, "a" * 40, "push again")

    refused = await lab.store.cancel(ref)

    assert refused.word == "illegal"
