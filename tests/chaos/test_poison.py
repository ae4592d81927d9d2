"""A task that kills its worker ends after three of them, and takes nobody along."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from tests.support.chaos_cli import poison_cli
from tests.support.deployment import eventually, processes_naming, running
from tests.support.repos import small_repo

pytestmark = pytest.mark.chaos


def test_poison_is_dead_after_three_workers_and_its_neighbour_lives() -> None:
    """
    What lost two workers with it runs alone from then on, in one process per home, so the third
    death is the poison's own.
    """
    with tempfile.TemporaryDirectory(prefix="cf-poison-", dir="/tmp") as name:
        settings = {
            "CODEFORGE_CLI__DEMO__PATH": poison_cli(Path(name)),
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
                mine = processes_naming(str(deployment.data_dir))
                alone = [line for line in mine if "worker --alone" in line]
                most_alone = max(most_alone, len(alone))
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
