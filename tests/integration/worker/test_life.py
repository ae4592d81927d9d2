"""One claim from its task to its reported end, in a worker on real Redis, git and processes."""

from __future__ import annotations

from internal.task.state import State
from tests.support.chaos_site import Site


async def test_a_task_runs_to_its_end_and_leaves_its_work(site: Site) -> None:
    """The file it wrote is in the diff, the run ends with one final event."""
    async with site.worker():
        task = await site.submit("write hello.txt: hello\nsay done")

        found = await site.finished(task)

    assert found.status is State.COMPLETED
    assert found.result == "done"
    assert found.changes is not None
    assert found.changes.files_created == 1
    assert (await site.names(task))[-1] == "result/task_completed"
    await site.settle()
