"""A task that kills its worker ends after three of them, and takes nobody along."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

import pytest

from tests.support.chaos_cli import poison_cli
from tests.support.deployment import eventually, running
from tests.support.repos import small_repo
from tests.support.zoo import process_state

pytestmark = pytest.mark.chaos


def test_promise_19_poison_is_dead_after_three_workers_and_its_neighbour_lives() -> None:
    """
    What lost two workers with it runs alone from then on, in one process per home, so the third
    death is the poison's own.
    """
    with tempfile.TemporaryDirectory(prefix="cf-poison-", dir="/tmp") as name:
        settings = {
            "CODEFORGE_CLI__DEMO__PATH": poison_cli(Path(name)),
            "CODEFORGE_WORKERS__ISOLATION": "none",  # from a sandbox it would not reach the worker
            "CODEFORGE_WORKERS__CONCURRENCY": "2",
        }
        with running(settings) as deployment, deployment.client() as client:
            repo = small_repo(deployment.repositories / "small")

            def submit(prompt: str) -> str:
                request = {"repo_url": repo.url, "prompt": prompt, "config": {"cli": "demo"}}
                return str(client.submit(request)["id"])

            neighbour = submit("say begun\nsleep 2\nsay done")
            poison = submit("poison")
            most_alone = 0

            def dead() -> bool:
                nonlocal most_alone
                most_alone = max(most_alone, len(_lone_workers(deployment.log())))
                return bool(client.get(poison)["status"] == "failed")

            eventually(dead, "the poison is dead", seconds=90)
            document = client.get(poison)
            innocent = deployment.finished(neighbour, client=client)

            assert document["failure"]["reason"] == "worker_lost"
            assert document["attempt"] == 3
            assert innocent["status"] == "completed"
            assert innocent["attempt"] <= 3
            assert most_alone == 1
            asyncio.run(deployment.settled())


def _lone_workers(log: str) -> list[int]:
    """Those that were started and run now."""
    started = [json.loads(line) for line in log.splitlines() if "worker.alone_started" in line]
    return [line["pid"] for line in started if process_state(line["pid"]) not in {"", "Z"}]
