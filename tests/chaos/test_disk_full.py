"""A full disk: the run says so and repeats later, and nothing half-written counts."""

from __future__ import annotations

import os

import pytest

from internal.task.model import Task
from internal.task.state import State
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import Site
from tests.support.small_disk import small_disk

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system"),
]

_WRITE = "head -c 200000 /dev/urandom >"


@pytest.mark.parametrize("folder", ["workspaces", "sessions", "git/mirrors", "git/work"])
async def test_promise_10_a_full_disk_is_waited_out(site: Site, folder: str) -> None:
    """`disk_full` waits and repeats by itself, wherever it was met; once there is room it works."""
    site.repo.commit({"big.bin": os.urandom(300_000)})
    result = '{"type":"result","text":"done"}'
    agent = shell_cli(site.directory, f"{_WRITE} new.bin && {_WRITE} ~/mine.bin && echo '{result}'")
    small = site.layout().data_dir / folder
    small.mkdir(parents=True)
    with small_disk(small) as filler:
        async with site.worker(CLI__DEMO__PATH=agent):
            task = await site.submit("anything")
            await site.until_task(task, "waits", _waits)
            warnings = [e["data"] for e in await site.events(task) if e["event"] == "warning"]
            filler.unlink()
            found = await site.finished(task)

    assert [warning["reason"] for warning in warnings][-1] == "disk_full"
    assert (found.status, found.failure, found.lost) == (State.COMPLETED, None, 0)
    assert found.retries >= 1
    assert b"new.bin" in await site.patch(task)
    await site.settle()


def _waits(task: Task) -> bool:
    assert task.status is not State.FAILED, task.failure
    return task.wait is not None and task.wait.reason == "retry"
