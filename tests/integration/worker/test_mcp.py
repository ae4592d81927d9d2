"""What a run is given of MCP servers, and that nothing of it is left in the work or on the disk."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from internal.git.remote import parse_remote
from internal.mcp.model import McpServer
from internal.task.state import State
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import TENANT, Site

SECRET = "s3cr3t-value-0123456789"  # noqa: S105 -- nothing is behind it
OWN = json.dumps({"mcpServers": {"of-the-repository": {"command": "touch", "args": ["started"]}}})


def a_server(name: str, command: str = "true") -> McpServer:
    return McpServer(name=name, command=command, env={"TOKEN": SECRET})


async def test_servers_come_from_the_tenant_the_project_and_the_task(site: Site) -> None:
    """By name the last place wins; a follow-up gets them too."""
    project = parse_remote(site.repo.url).key
    await site.core.mcp.add(TENANT, a_server("all"))
    await site.core.mcp.add(TENANT, a_server("both", "of-the-tenant"))
    await site.core.mcp.add(TENANT, a_server("both", "/of/the/project"), project=project)
    await site.core.mcp.add(TENANT, a_server("elsewhere"), project="another")
    copy = site.directory / "seen"
    agent = shell_cli(site.directory, f"shift; cat $1 > {shlex.quote(str(copy))}")
    async with site.worker(CLI__DEMO__PATH=agent, WORKERS__ISOLATION="none"):
        task = await site.submit("go", mcp_servers=(a_server("own", "/of/the/task"),))
        await site.finished(task)

    assert list(_servers(copy).items()) == [
        ("all", ["true"]),
        ("both", ["/of/the/project"]),
        ("own", ["/of/the/task"]),
    ]


async def test_the_file_is_gone_when_the_run_has_ended(site: Site) -> None:
    """Not in the workspace, not in the session that is kept, nowhere in the home of the worker."""
    async with site.worker():
        task = await site.submit("write a.txt: x\nsay done", mcp_servers=(a_server("own"),))
        found = await site.finished(task)

    assert found.status is State.COMPLETED
    told = [e["data"] for e in await site.events(task) if e["event"] == "system"]
    assert "MCP servers: own" in [data.get("text") for data in told]
    assert _files_with(site.layout().data_dir, SECRET) == []
    assert SECRET not in str((await site.world()).values)
    await site.settle()


async def test_a_server_s_program_can_be_run_in_the_sandbox(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the worker has on its PATH, wherever that is; the configuration can be read."""
    tools = site.directory / "tools" / "bin"
    tools.mkdir(parents=True)
    (tools / "a-server").write_text("#!/bin/sh\necho it runs\n")
    (tools / "a-server").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    script = 'cat > /dev/null; shift; grep -c a-server "$1" > seen.txt; a-server >> seen.txt'
    agent = shell_cli(site.directory, script)
    async with site.worker(CLI__DEMO__PATH=agent):
        task = await site.submit("go", mcp_servers=(a_server("own", "a-server"),))
        await site.finished(task)

    assert b"+1\n+it runs\n" in await site.patch(task)


async def test_a_value_that_an_agent_prints_is_taken_out(site: Site) -> None:
    """A server's token is a secret of the run, like the task's own."""
    async with site.worker():
        task = await site.submit(f"say {SECRET}", mcp_servers=(a_server("own"),))
        await site.finished(task)

    assert await site.said(task) == ["***"]


async def test_fault_a8_a_repository_s_own_configuration_stays_as_it_is(site: Site) -> None:
    """It is not replaced, not in the diff, and the secret is in no file of the work."""
    site.repo.commit({".mcp.json": OWN, ".gitignore": "build/\n"})
    async with site.worker():
        task = await site.submit("read .mcp.json\nwrite a.txt: x", mcp_servers=(a_server("own"),))
        found = await site.finished(task)

    assert found.changes is not None
    assert (found.changes.files_created, found.changes.files_modified) == (1, 0)
    patch = await site.patch(task)
    assert b"a.txt" in patch
    assert b"mcp" not in patch
    assert SECRET.encode() not in patch
    (claim,) = (site.layout().workspace_base / task).glob("*/tree")
    assert (claim / ".mcp.json").read_text() == OWN


async def test_fault_b17_no_ignore_file_is_written(site: Site) -> None:
    """There is nothing to hide, so nothing is appended and no tracked file removed."""
    site.repo.commit({".mcp.json": OWN, ".gitignore": "build/\n", ".cursor/cli.json": "{}"})
    async with site.worker():
        task = await site.submit("say done", mcp_servers=(a_server("own"),))
        found = await site.finished(task)

    assert found.changes is not None
    assert found.changes.diff_stats == "+0 -0"
    (tree,) = (site.layout().workspace_base / task).glob("*/tree")
    assert (tree / ".gitignore").read_text() == "build/\n"
    assert not (tree / ".git" / "info" / "exclude").exists() or (
        "mcp" not in (tree / ".git" / "info" / "exclude").read_text()
    )


def _servers(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())["mcpServers"]
    return found


def _files_with(root: Path, text: str) -> list[Path]:
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if text.encode() in path.read_bytes()]
