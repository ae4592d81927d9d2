"""What a worker does with its disk when a task is erased, and with one that is too full."""

from __future__ import annotations

from internal.task.ops import OpKind
from tests.support.chaos_site import TENANT, Site
from tests.support.waiting import until


async def test_an_erased_task_is_gone_from_the_disk_at_once(site: Site) -> None:
    """The script that erases it tells the homes; the round of the sweep is minutes away."""
    async with site.worker():
        task = await site.submit("write a.txt: a")
        other = await site.submit("write b.txt: b")
        await site.finished(task)
        await site.finished(other)
        assert site.claims_on_disk(task)

        await site.core.service.delete(TENANT, task)
        site.tasks.remove(task)
        await until("nothing of it is on the disk", lambda: not site.claims_on_disk(task))

        assert site.claims_on_disk(other)
    assert not (site.layout().workspace_base / task).exists()
    await site.settle()


async def test_a_worker_answers_for_the_workspaces_of_its_home(site: Site) -> None:
    """A follow-up after the removal starts from what was recorded."""
    async with site.worker():
        task = await site.submit("write a.txt: a")
        await site.finished(task)
        asked = {"tenant": TENANT, "task": task}

        listed = await site.core.ops.ask(site.home_id(), OpKind.LIST_WORKSPACES, asked)
        removed = await site.core.ops.ask(site.home_id(), OpKind.DELETE_WORKSPACE, asked)
        await site.instruct(task, "append a.txt: b\nsay done")
        found = await site.finished(task)

    assert [row["task"] for row in listed["workspaces"]] == [task]
    assert removed == {"found": True, "in_use": False}
    assert found.result == "done"
    assert b"+a\n+b\n" in await site.patch(task)
    await site.settle()
