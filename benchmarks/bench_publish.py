"""Publishing: from a create-pr's request to its pull request, for a change of many files."""

from __future__ import annotations

import time
from pathlib import Path

import httpx2

from benchmarks.deployment import Overrides, open_deployment, until
from benchmarks.scale import Scale
from benchmarks.table import Table, millis, percentile
from tests.support.chaos_cli import shell_cli
from tests.support.forge import Forge, open_forge
from tests.support.hosts.double import TOKEN

_FINISHED = {"completed", "failed", "pr_created"}


async def run(scale: Scale) -> Table:
    """One worker, one forge on loopback; each task changes its own files anew."""
    rows: list[list[str]] = []
    overrides: Overrides = {
        "git": {"provider_domains": {"127.0.0.1": "github"}, "allow_local": True},
        "egress": {"allow": ["127.0.0.0/8"]},
    }
    async with open_deployment(overrides=overrides) as deployment:
        with open_forge(deployment.directory / "forge") as forge:
            await deployment.server()
            for files in (1, scale.publish_files):
                agent = _agent(deployment.directory, files)
                worker = await deployment.worker(CODEFORGE_CLI__DEMO__PATH=agent)
                async with deployment.client() as client:
                    seconds = [await _publish(client, forge) for _ in range(scale.publish_rounds)]
                worker.terminate()
                await worker.wait()
                rows.append(
                    [
                        f"{files:,}",
                        f"{len(seconds)}",
                        millis(percentile(seconds, 50)),
                        millis(max(seconds)),
                    ]
                )
    return Table(
        title="Publishing",
        aim="none was set; a person waits for it",
        columns=("changed files", "pull requests", "p50 ms", "slowest ms"),
        rows=rows,
        notes=(
            "From the HTTP request to its answer: claim, checks of every changed file, commit, "
            "push over HTTP, the host's API (a double on loopback), record. New files of 4 KB.",
        ),
    )


def _agent(directory: Path, files: int) -> str:
    script = (
        f"mkdir made; head -c {files * 3_000} /dev/urandom | base64 -w 0 | "
        """split -a 4 -b 4000 - made/f; echo '{"type":"result","text":"done"}'"""
    )
    return shell_cli(directory, script)


async def _publish(client: httpx2.AsyncClient, forge: Forge) -> float:
    body = {"repo_url": forge.url, "prompt": "Change files", "access_token": TOKEN}
    task = (await client.post("/tasks", json=body)).json()["id"]

    async def has_ended() -> bool:
        return (await client.get(f"/tasks/{task}")).json()["status"] in _FINISHED

    await until("the task has ended", has_ended)
    began = time.monotonic()
    answer = await client.post(f"/tasks/{task}/create-pr")
    taken = time.monotonic() - began
    if answer.status_code != 200:
        raise RuntimeError(f"no pull request: {answer.text}")
    return taken
