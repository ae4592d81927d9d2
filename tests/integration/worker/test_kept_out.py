"""What must not get out of a run, and what must not be lost by a worker that knows too little."""

from __future__ import annotations

import base64
import secrets

import pytest
from redis.asyncio import Redis

from codeforge.wiring.disk import Disk
from internal.errors import Conflict
from internal.rdb.keys import Keys
from internal.task.state import State
from internal.workspace.owner import owner_file
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import TENANT, Site
from tests.support.git_http import git_http_server
from tests.support.waiting import until

_SECRET = "canary-4f1c9a7d2b"  # noqa: S105 -- made up


@pytest.mark.parametrize("written", [_SECRET, base64.b64encode(_SECRET.encode()).decode()])
async def test_a_secret_in_the_work_is_withheld(site: Site, written: str) -> None:
    """The diff names the file; no patch of it is stored or shown, and a warning says why."""
    async with site.worker():
        task = await site.submit(f"write env.txt: KEY={written}", ai_api_key=_SECRET)

        found = await site.finished(task)
        stored, is_complete = await site.core.service.diff(TENANT, task)

    assert found.status is State.COMPLETED
    assert stored.withheld
    assert not is_complete
    assert [file.path for file in stored.diff.files] == ["env.txt"]
    assert written not in repr(stored)
    warnings = [e["data"] for e in await site.events(task) if e["event"] == "warning"]
    assert warnings == [{"reason": "secret_in_diff"}]
    await site.settle()


async def test_the_token_of_a_repository_is_nowhere_the_agent_can_look(site: Site) -> None:
    """
    The remote wants it, git has used it: yet neither the agent's environment, nor the checkout's
    configuration, nor any process that the agent may look at has it, in clear or encoded.
    """
    token = f"canary-token-{secrets.token_hex(8)}"
    encoded = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    site.variables["CODEFORGE_CLI__DEMO__PATH"] = shell_cli(site.directory, _CURIOUS)
    with git_http_server(site.repo.path.parent, token=token) as remote:
        async with site.worker():
            url = remote.url(site.repo.path.name)
            task = await site.submit("look around", repo_url=url, access_token=token)

            found = await site.finished(task)
            stored, is_complete = await site.core.service.diff(TENANT, task)

    assert found.status is State.COMPLETED
    assert is_complete
    seen = stored.diff.patch.decode(errors="replace")
    assert "CODEFORGE_RUN=" in seen
    assert "[core]" in seen
    assert token not in seen
    assert encoded not in seen
    assert not [request for request in remote.requests if token in request]
    await site.settle()


# Its notes become part of the work: had they the token, the diff would be withheld.
_CURIOUS = """
cat > /dev/null
{ env; cat .git/config; git config --list; git remote -v; } > notes.txt 2>&1
grep -a "canary-[t]oken" /proc/[0-9]*/environ /proc/[0-9]*/cmdline >> notes.txt 2> /dev/null
echo '{"type":"result","text":"done"}'
"""


async def test_a_worker_of_another_deployment_erases_nothing(
    site: Site, redis_client: Redis
) -> None:
    """A home remembers whose work it holds; against other data it only warns."""
    async with site.worker():
        task = await site.submit("write a.txt: a")
        await site.finished(task)
        layout = site.layout()
        await until("the home knows its deployment", owner_file(layout.data_dir).exists)
        kept = layout.sessions / TENANT / task

    keys, disk = Keys("other:"), Disk(site.settings())
    with pytest.raises(Conflict, match=r"redis\.prefix"):
        await disk.sweep(disk.ask(redis_client, keys)).sweep()

    assert kept.is_dir()
    await site.settle()
