"""`codeforge up` as its operator meets it: one of a kind, ends in order, goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeforge.client import ApiError, Client
from tests.support.deployment import Deployment, eventually, processes_naming, running
from tests.support.repos import Repo


def _submit(client: Client, repository: Repo, prompt: str) -> str:
    request = {"repo_url": repository.url, "prompt": prompt, "config": {"cli": "demo"}}
    return str(client.submit(request)["id"])


def _repository(deployment: Deployment) -> Repo:
    repo = Repo(deployment.repositories / "one.git")
    repo.commit({"README.md": "# Test\n"})
    return repo


def _are_running(client: Client, *tasks: str) -> bool:
    return all(client.get(task)["status"] == "running" for task in tasks)


def _files_of(deployment: Deployment, task: str) -> list[Path]:
    return [path for path in deployment.data_dir.rglob("*") if path.stem == task]


def test_it_drains_and_goes_on_after_a_restart() -> None:
    """
    A run that ends within the grace time ends; another is handed back and runs again later.

    What was deleted while it ran is erased from the disk at the next start, if not before.
    """
    with running({"CODEFORGE_WORKERS__GRACE_SECONDS": "6"}) as deployment:
        with deployment.client() as client:
            repository = _repository(deployment)
            deleted = _submit(client, repository, "write a.txt: a")
            deployment.finished(deleted, client=client)
            client.delete(deleted)
            short = _submit(client, repository, "say started\nsleep 1\nsay ended")
            endless = _submit(client, repository, "say started\nhang")
            eventually(lambda: _are_running(client, short, endless), "both run")

        assert deployment.stop() == 0, deployment.log()[-4000:]
        assert processes_naming(str(deployment.directory)) == []
        assert not (deployment.data_dir / "server.json").exists()
        deployment.start()

        with deployment.client() as client:
            ended = client.get(short)
            eventually(lambda: _are_running(client, endless), "the other runs again")
            again = client.get(endless)
            client.cancel(endless)
            deployment.finished(endless, client=client)
            for read in (client.get, client.events, client.diff):
                with pytest.raises(ApiError) as refused:
                    read(deleted)
                assert refused.value.status == 404
        eventually(lambda: not _files_of(deployment, deleted), "the deleted task's files are gone")

    assert (ended["status"], ended["result"], ended["attempt"]) == ("completed", "ended", 1)
    assert again["attempt"] == 2


def test_a_second_one_is_refused_with_the_pid_of_the_first(deployment: Deployment) -> None:
    """Two of them would fight over one Redis."""
    second = deployment.run("up")

    assert second.returncode == 3
    assert f"pid {deployment.pid}" in second.stderr
    assert "Traceback" not in second.stderr


def test_bad_settings_are_refused_all_at_once(deployment: Deployment) -> None:
    """Each by its name, before anything starts."""
    bad = {"CODEFORGE_SERVER__PORT": "no-port", "CODEFORGE_WORKERS__CONCURENCY": "2"}

    refused = deployment.run("up", environment=bad)

    assert refused.returncode == 2
    assert "server.port" in refused.stderr
    assert "workers.concurency" in refused.stderr
    assert "workers.concurrency" in refused.stderr  # the nearest known one
    assert "Traceback" not in refused.stderr
