"""An agent in its sandbox, run by a real worker, gets at nothing but its own task."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import internal
from internal.errors import Invalid
from internal.task.state import State
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import TENANT, Site
from tests.support.intruder import intruder_cli
from tests.support.isolation import need_sandbox
from tests.support.waiting import until

_NEEDLE = b"canary-"
"""In every secret of the deployment, and in the work of the neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A worker that is at work on another task, and what there is to be had."""

    site: Site
    neighbour: str
    worker: int

    @property
    def neighbour_claim(self) -> Path:
        (tree,) = self.site.layout().task(self.neighbour).glob("*/tree")
        return tree.parent

    async def intrude(self, attempts: Sequence[tuple[Any, ...]], **variables: str) -> Any:
        """What became of each of *attempts*, made by an agent of its own worker process."""
        cli = intruder_cli(self.site.directory)
        prompt = {
            "needle_hex": _NEEDLE.hex(),
            "programs": [sys.base_prefix, sys.prefix, str(Path(internal.__file__).parent)],
            "attempts": attempts,
        }
        await self.site.start(CLI__DEMO__PATH=cli, **variables)
        task = await self.site.submit(json.dumps(prompt))
        found = await self.site.finished(task)
        assert found.status is State.COMPLETED, found.failure
        assert found.result is not None
        return json.loads(found.result)


@pytest.fixture
async def scene(site: Site, tmp_path: Path) -> AsyncIterator[Scene]:
    """The first worker is taken up by a task whose workspace holds a secret of its own."""
    await need_sandbox(tmp_path)
    process = await site.start(WORKERS__CONCURRENCY="1")
    neighbour = await site.submit("write notes.txt: canary-of-the-neighbour\nsay there\nhang")
    await site.until_said(neighbour, "there")
    yield Scene(site=site, neighbour=neighbour, worker=process.pid)
    await site.cancel(neighbour)
    await site.finished(neighbour)


def refused(outcome: dict[str, Any]) -> list[str]:
    """What was not refused."""
    return [
        f"{attempt}: {said}"
        for attempt, said in outcome.items()
        if attempt != "environment" and not said.startswith("refused: ")
    ]


async def test_fault_a4_an_agent_gets_no_variable_of_its_worker(scene: Scene) -> None:
    """
    Its own environment is an allow-list, and it sees no process that has more.
    """
    outcome = await scene.intrude([("environ",), ("read", f"/proc/{scene.worker}/environ")])

    assert refused(outcome) == []
    assert not [name for name in outcome["environment"] if name.startswith("CODEFORGE_S")]
    assert set(outcome["environment"]) <= {
        *("CODEFORGE_RUN", "HOME", "PATH", "LANG", "LC_CTYPE", "TERM", "TZ"),
    }


async def test_fault_a6_an_agent_reaches_no_other_task_and_nothing_of_ours(scene: Scene) -> None:
    """
    Neither workspaces and homes of others nor processes, trusted repositories, secrets, mirrors.
    """
    layout = scene.site.layout()
    (mirror,) = layout.mirrors.glob("*.git")
    claim = scene.neighbour_claim
    paths = [
        *(claim / "tree" / "notes.txt", claim / "home", layout.home_id_file, layout.sessions),
        *(layout.works / TENANT / f"{scene.neighbour}.git", mirror / "HEAD", mirror / "config"),
        *(
            layout.outputs,
            Path.home() / ".profile",
            Path("/etc/shadow"),
            Path("/proc/1/root/etc/shadow"),
        ),
    ]
    (pack, *_) = (path for path in (mirror / "objects").rglob("*") if path.is_file())

    before = contents(*paths, pack)

    outcome = await scene.intrude(
        [
            *(("read", str(path)) for path in paths),
            *(("list", str(path)) for path in paths),
            *(("write", str(pack)), ("remove", str(pack)), ("write", str(pack.parent / "new"))),
            *(("signal", scene.worker), ("ptrace", scene.worker), ("search",)),
        ]
    )
    # In the agent's own /tmp, where tests have everything, it can make directories of these names.
    await scene.intrude([("write", str(path)) for path in paths])

    assert refused(outcome) == []
    assert contents(*paths, pack) == before


async def test_fault_b1_one_user_for_all_gives_no_way_around(scene: Scene) -> None:
    """
    Worker and agent are the same user of the machine, and still nothing of the machine is reached.
    """
    docker = scene.site.directory / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(docker))
        listener.listen()
        outcome = await scene.intrude(
            [
                *(("connect", str(docker)), ("connect", "/var/run/docker.sock")),
                *(("list", "/home"), ("list", "/run"), ("list", "/sys"), ("list", "/var/lib")),
                *(("write", path) for path in ("/usr/x", "/etc/x", "/x", "/dev/x", sys.executable)),
                *(("rewrite", f"/proc/sys/kernel/{name}") for name in ("core_pattern", "hostname")),
                *(("rewrite", "/proc/sys/vm/swappiness"), ("read", "/proc/kcore")),
                *(
                    ("write", "/proc/sysrq-trigger"),
                    ("read", "/dev/mem"),
                    ("read", "/proc/kallsyms"),
                ),
                *(("userns",), ("mountns",), ("mount",), ("remount",), ("chroot",), ("setuid",)),
                *(
                    ("umount", "/usr"),
                    ("umount", "/proc/sys"),
                    ("mknod",),
                    ("nice",),
                    ("hostname",),
                ),
            ]
        )

    assert refused(outcome) == []


async def test_without_isolation_all_of_it_lies_open(scene: Scene) -> None:
    """
    What the sandbox is for: the same attempts succeed without it, and the task says so.
    """
    outcome = await scene.intrude(
        [
            *(("environ",), ("signal", scene.worker), ("list", str(scene.site.layout().works))),
            ("read", str(scene.neighbour_claim / "tree" / "notes.txt")),
        ],
        WORKERS__ISOLATION="none",
    )

    assert len(refused(outcome)) == 4
    assert str(scene.worker) in outcome["environ"]
    isolated = await scene.site.task(scene.neighbour)
    assert (isolated.isolation, (await scene.site.task(scene.site.tasks[-1])).isolation) == (
        "bwrap",
        "none",
    )


async def test_a_worker_that_must_isolate_and_cannot_does_not_start(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    No task is claimed by it.
    """
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(Invalid, match=r"workers\.isolation is bwrap"):
        async with site.worker(WORKERS__ISOLATION="bwrap"):
            pass

    assert await site.registered() == []


async def test_the_repository_is_whole_in_the_sandbox_and_can_be_committed_to(
    site: Site, tmp_path: Path
) -> None:
    """
    Its objects are the mirror's, which the agent can read and not write; a follow-up goes on there.
    """
    await need_sandbox(tmp_path)
    agent = shell_cli(
        site.directory,
        "echo x >> new.txt && git add new.txt && git commit -qm more && git fsck 2>&1 && "
        """echo "{\\"type\\":\\"result\\",\\"text\\":\\"$(git log --oneline | wc -l)\\"}" """,
    )
    async with site.worker(CLI__DEMO__PATH=agent):
        task = await site.submit("x")
        first = await site.finished(task)
        await site.instruct(task, "again")
        second = await site.finished(task)

    alternates = [*site.layout().task(task).glob("*/tree/.git/objects/info/alternates")]
    assert first.status is second.status is State.COMPLETED
    assert (first.result, second.result) == ("2", "3")
    assert len(alternates) == 1
    assert site.layout().mirrors.as_posix() in alternates[0].read_text()
    assert b"+x\n+x\n" in await site.patch(task)
    await site.settle()


async def test_neither_arguments_nor_environment_of_the_sandbox_hold_a_secret(
    site: Site, tmp_path: Path
) -> None:
    """
    What the task brings is in the agent's own environment, and of all processes in no other one.
    """
    await need_sandbox(tmp_path)
    key = "canary-model-key-0123456789"
    agent = site.directory / "agent"
    agent.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit\n'
        'echo \'{"type":"text","text":"there"}\'\nexec sleep 600\n'
    )
    agent.chmod(0o755)
    os.environ["CANARY_GIVEN"] = key
    try:
        async with site.worker(CLI__DEMO__PATH=str(agent), CLI__DEMO__ENV="CANARY_GIVEN"):
            task = await site.submit("x")
            await site.until_said(task, "there")
            await until("the shell has become a sleep", lambda: holders(key, "environ"))
            in_environment, in_arguments = holders(key, "environ"), holders(key, "cmdline")
            below = site.agents()
            await site.cancel(task)
            await site.finished(task)
    finally:
        del os.environ["CANARY_GIVEN"]

    assert any("bwrap" in line for line in below)
    assert [name for _, name in in_environment] == ["sleep"]
    assert in_arguments == []


def contents(*paths: Path) -> dict[Path, bytes]:
    """What is in those that are files."""
    return {path: path.read_bytes() for path in paths if os.path.isfile(path)}


def holders(needle: str, file: str) -> list[tuple[int, str]]:
    """Pids and names of all processes of the machine with *needle* in a file of theirs."""
    found: list[tuple[int, str]] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if needle.encode() in (entry / file).read_bytes():
                    found.append((int(entry.name), (entry / "comm").read_text().strip()))
            except OSError:
                continue
    return found
